import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { memoryVariables, nodeFlags } from "./process-settings.ts";

const command = fileURLToPath(new URL("../bin/downpour", import.meta.url));

it("has the same settings in the command as in roles that the launcher starts", () => {
  const text = readFileSync(command, "utf8");
  for (const [name, value] of Object.entries(memoryVariables)) expect(text).toContain(`${name}:=${value}}`);
  expect(text).toContain(`node ${nodeFlags.join(" ")} `);
});

it("runs from another folder, by a link", () => {
  const folder = mkdtempSync(join(tmpdir(), "downpour-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  symlinkSync(command, join(folder, "link"));
  expect(execFileSync("./link", ["--version"], { cwd: folder, encoding: "utf8" })).toMatch(
    /^\d+\.\d+\.\d+\n$/,
  );
});
