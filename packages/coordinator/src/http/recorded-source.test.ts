import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { RecordedSource } from "./recorded-source.ts";
import { showRuns } from "./show-runs.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function makeRun(lines: readonly (object | string)[], files: Record<string, string> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "downpour-run-"));
  folders.push(folder);
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  for (const [name, content] of Object.entries({ "events.jsonl": text, ...files })) {
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

const joined = { timeMs: 5, type: "memberJoined", memberId: "worker-1", role: "worker", name: "h" };
const drop = {
  timeMs: 9,
  type: "learningRateDropped",
  epoch: 1,
  factor: 0.1,
  learningRate: 0.01,
  revision: 2,
  reason: "plateau",
  divergence: null,
};

describe("a recorded run", () => {
  it("is read from its folder, also where the last line is torn", async () => {
    const folder = makeRun([joined, drop, '{"timeMs":9,"ty']);
    const source = await RecordedSource.open(folder);
    expect(source.info).toEqual({ id: basename(folder), name: basename(folder), live: false });
    expect(source.state()).toMatchObject({ sequence: 2, job: null, members: [{ memberId: "worker-1" }] });
    expect(source.history().marks.map(({ kind }) => kind)).toEqual(["joined", "drop"]);
  });

  it("takes its end from the summary where the events lack it", async () => {
    const summary = JSON.stringify({
      outcome: "finished",
      reason: "epochs",
      message: null,
      testAccuracy: 0.5,
    });
    const source = await RecordedSource.open(makeRun([joined], { "summary.json": summary }));
    expect(source.state()).toMatchObject({ reason: "epochs", summary: { testAccuracy: 0.5 } });
  });

  it("is refused in one line where the folder is missing, is a file, holds no run, or another file", async () => {
    const empty = mkdtempSync(join(tmpdir(), "downpour-run-"));
    folders.push(empty);
    const wrong = makeRun(Array.from({ length: 20 }, () => "no event"));
    for (const [folder, text] of [
      ["/nowhere/at-all", "the run /nowhere/at-all does not exist; name the folder of a run"],
      [join(makeRun([]), "events.jsonl"), "is no folder"],
      [empty, "holds no run: it has no events.jsonl"],
    ] as const) {
      await expect(RecordedSource.open(folder)).rejects.toMatchObject({
        code: "usage",
        message: expect.stringContaining(text),
      });
    }
    await expect(RecordedSource.open(wrong)).rejects.toMatchObject({
      code: "corruptData",
      message: expect.stringMatching(/^line 11 of .*events.jsonl is no event/),
    });
  });

  it("is served to look at, with others beside it, and takes no command", async () => {
    const [one, two] = [makeRun([joined]), makeRun([drop])];
    const page = await showRuns({ folders: [one, two, one], port: undefined });
    try {
      const { runs } = (await (await fetch(`${page.url}api/v1/runs`)).json()) as { runs: { id: string }[] };
      expect(runs.map(({ id }) => id)).toEqual([basename(one), basename(two)]);
      const second = await fetch(`${page.url}api/v1/history?run=${basename(two)}`);
      expect(await second.json()).toMatchObject({ sequence: 1, marks: [{ kind: "drop" }] });
      expect((await fetch(`${page.url}api/v1/events`)).status).toBe(204);
      const pause = { method: "POST", headers: { "content-type": "application/json" } };
      expect((await fetch(`${page.url}api/v1/pause`, pause)).status).toBe(409);
    } finally {
      await page.close();
    }
  });
});
