import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { isTemporary } from "./durable-file.ts";
import { listCheckpoints, loadLatest, readPart } from "./read-checkpoint.ts";
import { removeCheckpoints } from "./remove-checkpoints.ts";
import { manifest, randomBits, randomServers } from "./sample.test.suite.ts";
import { decodeServerPart } from "./server-part.ts";

const program = fileURLToPath(new URL("../dist/write-loop.test.suite.js", import.meta.url));
const rounds = 12;
const policy = { keepLast: 2, keepBest: 0, bestBy: "loss", abandonedAfterMs: 60_000 } as const;

let store: string;

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "downpour-kill-"));
});

afterEach(() => rm(store, { recursive: true }));

/** Starts a process that writes checkpoints, reads along for a time, and kills it with SIGKILL. */
async function writeAndKill(coordinatorEpoch: number, afterMs: number): Promise<void> {
  const writer = spawn(process.execPath, [program, store, `${coordinatorEpoch}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(writer, "exit");
  try {
    const first = await Promise.race([once(writer.stdout, "data"), ended]);
    expect(`${first[0]}`).toBe("ready\n");
    const reading = sleep(afterMs).then(() => "over");
    while ((await Promise.race([reading, sleep(20)])) !== "over") {
      expect((await listCheckpoints(store)).filter(isWrong)).toEqual([]);
    }
  } finally {
    writer.kill("SIGKILL");
    expect(await ended).toEqual([null, "SIGKILL"]);
  }
}

function isWrong(entry: Awaited<ReturnType<typeof listCheckpoints>>[number]): boolean {
  return entry.kind === "unusable" && entry.reason !== "torn";
}

it(`leaves only whole or torn checkpoints when a writer is killed at any moment, ${rounds} times`, async () => {
  let newest = 0;
  let torn = 0;
  let temporaries = 0;
  for (let seed = 1; seed <= rounds; seed++) {
    const afterMs = randomBits(seed)() % 250;
    await writeAndKill(seed, afterMs);
    const about = `seed ${seed}, killed after ${afterMs} ms`;
    const entries = await listCheckpoints(store);
    expect(entries.filter(isWrong), about).toEqual([]);
    torn += entries.filter((entry) => entry.kind === "unusable").length;
    const names = await readdir(store, { recursive: true });
    temporaries += names.filter((name) => isTemporary(name.split("/").at(-1) ?? "")).length;
    if (entries.every((entry) => entry.kind === "unusable")) continue;
    const { checkpoint } = await loadLatest(store, {});
    const { sequence } = checkpoint.id;
    expect(sequence, about).toBeGreaterThanOrEqual(newest);
    newest = sequence;
    for (const server of randomServers(2, sequence)) {
      const read = (file: string) => readPart(checkpoint, file);
      expect(await decodeServerPart(manifest, server, read, checkpoint.folder), about).toEqual(server);
    }
    await removeCheckpoints(store, policy, Date.now());
    expect((await loadLatest(store, {})).checkpoint.id, about).toEqual(checkpoint.id);
  }
  expect(newest).toBeGreaterThan(0);
  // The kills did hit writers in the middle of a checkpoint, and some in the middle of a file.
  expect(torn).toBeGreaterThan(0);
  expect(temporaries).toBeGreaterThan(0);
}, 120_000);
