import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectCoordinator, type JobSummary } from "@downpour/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { cleanUpAfterEach, downpour, makeFolder, smallJob } from "./harness.ts";

/* Folders of checkpoints that are not what they should be, under a cluster of real processes. */

const mounted: string[] = [];

// Before the folders are removed: hooks run last first.
cleanUpAfterEach();
afterEach(() => {
  for (const folder of mounted.splice(0)) spawnSync("umount", [folder]);
});

/** @returns why not, where it does not work */
function mountTmpfs(folder: string, size: string): string | undefined {
  const { status, error, stderr } = spawnSync("mount", [
    "-t",
    "tmpfs",
    "-o",
    `size=${size}`,
    "tmpfs",
    folder,
  ]);
  if (status !== 0) return error?.message ?? `${stderr}`.trim();
  mounted.push(folder);
  return undefined;
}

function whyNoTmpfs(): string | undefined {
  const folder = makeFolder();
  const reason = mountTmpfs(folder, "64k");
  for (const path of mounted.splice(0)) spawnSync("umount", [path]);
  return reason;
}

function whyNoNamespace(): string | undefined {
  const { status, error, stderr } = spawnSync("unshare", ["--mount", "true"]);
  return status === 0 ? undefined : (error?.message ?? `${stderr}`.trim());
}

const noTmpfs = whyNoTmpfs();
const noMounts = noTmpfs ?? whyNoNamespace();
const skipped = (reason: string | undefined) =>
  reason === undefined ? "" : ` (skipped, nothing can be mounted: ${reason})`;

/** A machine under load takes its time to start. */
const patient = smallJob.replace("leaseMs: 4000", "leaseMs: 4000, startTimeoutMs: 600000");

function jobWith(
  folder: string,
  store: string,
  change: (job: string) => string,
): { file: string; run: string } {
  const file = join(folder, "job.yaml");
  writeFileSync(file, `${change(patient)}checkpoint: { uri: ${store}, everySeconds: 1 }\n`);
  return { file, run: join(folder, "run") };
}

function addressIn(run: string): string {
  return (JSON.parse(readFileSync(join(run, "coordinator.json"), "utf8")) as { address: string }).address;
}

describe.skipIf(noTmpfs !== undefined)(`a disk that is full${skipped(noTmpfs)}`, () => {
  it("keeps checkpoints from being written and nothing else; they go on when there is room", async () => {
    const folder = makeFolder();
    const store = join(folder, "store");
    mkdirSync(store);
    expect(mountTmpfs(store, "4m")).toBeUndefined();
    const { file, run } = jobWith(folder, store, (job) => job.replace("epochs: 3", "epochs: 100000"));
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event(({ type, reason }) => type === "checkpointed" && reason === "schedule");
    const isFailure = ({ type }: Record<string, unknown>) => type === "checkpointFailed";
    // Old checkpoints that are removed meanwhile make room again.
    for (let i = 0; !training.events.some(isFailure); i++) {
      spawnSync("dd", ["if=/dev/zero", `of=${join(store, `filler-${i}`)}`, "bs=16k"]);
      await sleep(100);
    }
    const failed = await training.event(isFailure);
    expect(failed.message).toMatch(/no checkpoint was written: .* the disk is full \(ENOSPC\).*free space/);
    const newest = training.events.filter(({ type }) => type === "checkpointed").at(-1);
    expect(existsSync(join(newest?.path as string, "manifest.json"))).toBe(true);
    const after = (index: number, type: string) =>
      training.event((event) => event.type === type && training.events.indexOf(event) > index);
    const next = await after(training.events.indexOf(failed), "progress");
    const later = await after(training.events.indexOf(next), "progress");
    expect(later.examplesCounted).toBeGreaterThan(next.examplesCounted as number);
    for (const name of readdirSync(store)) if (name.startsWith("filler-")) rmSync(join(store, name));
    await after(training.events.length - 1, "checkpointed");
    const coordinator = connectCoordinator(addressIn(run), 10_000);
    await coordinator.call("StopJob", { reason: "the disk has room again" });
    coordinator.close();
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(0);
    const summary = training.events.at(-1) as unknown as JobSummary;
    expect(summary.outcome).toBe("finished");
    const { batchesApplied, updateCountMin, updateCountMax } = summary;
    expect([updateCountMin, updateCountMax]).toEqual([batchesApplied, batchesApplied]);
  });
});

describe.skipIf(noMounts !== undefined)(
  `a folder that is another one at a server${skipped(noMounts)}`,
  () => {
    it("is noticed at its start: it says so in one line, and takes no slices", async () => {
      const folder = makeFolder();
      const store = join(folder, "store");
      mkdirSync(store);
      const { file, run } = jobWith(folder, store, (job) => job);
      const coordinator = downpour(["coordinator", file, "--run-dir", run]);
      await expect.poll(() => existsSync(join(run, "coordinator.json")), { timeout: 60_000 }).toBe(true);
      // In a mount namespace of its own, an empty file system lies over the folder.
      const over = `mount -t tmpfs tmpfs ${store} && exec "$0" "$@"`;
      const server = downpour(["server", "--coordinator", addressIn(run)], {}, [
        "unshare",
        "--mount",
        "sh",
        "-c",
        over,
      ]);
      const { status, stderr } = await server.finished;
      expect(status).toBe(1);
      expect(stderr.trimEnd().split("\n")).toEqual([
        expect.stringMatching(/^error: .*is not the same folder on all machines.*checkpoint\.uri/),
      ]);
      expect(readFileSync(join(run, "events.jsonl"), "utf8")).not.toContain("memberJoined");
      coordinator.child.kill("SIGTERM");
      expect((await coordinator.finished).status).toBe(0);
    });
  },
);
