import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeLogger } from "./logger.ts";

test("writes one JSON object per line, with role and process, and appends to what is there", () => {
  const folder = mkdtempSync(join(tmpdir(), "downpour-log-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "deep", "worker.jsonl");
  makeLogger("worker", file).info({ memberId: "worker-1" }, "joined");
  makeLogger("worker", file).warn("again");
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { role: "worker", pid: process.pid, memberId: "worker-1", msg: "joined", level: 30 },
    { role: "worker", msg: "again", level: 40 },
  ]);
});
