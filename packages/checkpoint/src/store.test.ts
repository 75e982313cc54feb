import { mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compareNewestFirst } from "./checkpoint-id.ts";
import type { CheckpointManifest, PartRecord } from "./checkpoint-manifest.ts";
import { decodeCoordinatorPart } from "./coordinator-part.ts";
import { nodeFileSystem } from "./file-system.ts";
import { listCheckpoints, loadLatest, readPart } from "./read-checkpoint.ts";
import { removeCheckpoints } from "./remove-checkpoints.ts";
import {
  checkpointManifest,
  coordinatorPart,
  manifest,
  randomServers,
  sampleParts,
  writeSample,
} from "./sample.test.suite.ts";
import { decodeServerPart } from "./server-part.ts";
import { commitCheckpoint, writePart } from "./write-checkpoint.ts";

let store: string;

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "downpour-checkpoints-"));
});

afterEach(() => rm(store, { recursive: true }));

const first = { sequence: 1, coordinatorEpoch: 1 };
const second = { sequence: 2, coordinatorEpoch: 1 };
const expectation = { parametersFingerprint: manifest.fingerprint };

/** Names of all files below the store. */
async function filesBelow(folder: string): Promise<string[]> {
  const found = await readdir(folder, { withFileTypes: true, recursive: true });
  return found
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();
}

/** Changes one byte of a file. */
async function alter(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

describe("a checkpoint on disk", () => {
  it("comes back bit for bit, every part of it", async () => {
    await writeSample(store, first);
    const { checkpoint, message, passedOver } = await loadLatest(store, expectation);
    expect(message).toBeUndefined();
    expect(passedOver).toEqual([]);
    const read = (file: string) => readPart(checkpoint, file);
    for (const server of randomServers(2, 1)) {
      expect(await decodeServerPart(manifest, server, read, checkpoint.folder)).toEqual(server);
    }
    expect(await decodeCoordinatorPart(read, checkpoint.folder)).toEqual({ ...coordinatorPart(1), manifest });
  });

  it("has the files that its manifest lists, and no other", async () => {
    const { files } = await writeSample(store, first);
    const names = [...files.map(({ file }) => file), "manifest.json"].sort();
    expect(await filesBelow(store)).toEqual(names);
    expect(names).toEqual([
      "coordinator.job.json",
      "coordinator.ledger.json",
      "coordinator.parameters.json",
      "coordinator.random.json",
      "coordinator.schedule.json",
      "manifest.json",
      "server-0-of-2.slot-m.safetensors",
      "server-0-of-2.slot-v.safetensors",
      "server-0-of-2.state.json",
      "server-0-of-2.weights.safetensors",
      "server-1-of-2.slot-m.safetensors",
      "server-1-of-2.slot-v.safetensors",
      "server-1-of-2.state.json",
      "server-1-of-2.weights.safetensors",
    ]);
  });

  it("is refused, naming the file, when any byte of any file is altered", async () => {
    const { files } = await writeSample(store, first);
    for (const file of [...files.map((part) => part.file), "manifest.json"]) {
      const path = join(store, "checkpoint-1-e1", file);
      const { length } = await readFile(path);
      for (const at of [0, Math.floor(length / 2), length - 1]) {
        await alter(path, at);
        const [entry] = await listCheckpoints(store);
        expect(entry, `${file}, byte ${at}`).toMatchObject({
          kind: "unusable",
          message: expect.stringContaining(path),
        });
        await expect(loadLatest(store, expectation)).rejects.toThrow(
          expect.objectContaining({ code: "notFound", message: expect.stringContaining(path) }),
        );
        await alter(path, at);
      }
    }
    expect(await listCheckpoints(store)).toMatchObject([{ kind: "usable" }]);
  });

  it("is refused when any byte of the manifest is altered, also one that leaves JSON and values as they are", async () => {
    await writeSample(store, first);
    const path = join(store, "checkpoint-1-e1", "manifest.json");
    const text = await readFile(path, "utf8");
    for (let at = 0; at < text.length; at += 7) {
      await alter(path, at);
      expect(await listCheckpoints(store, { verify: "sizes" }), `byte ${at}`).toMatchObject([
        { kind: "unusable" },
      ]);
      await alter(path, at);
    }
    await writeFile(path, `${text}\n`);
    expect(await listCheckpoints(store)).toMatchObject([
      {
        kind: "unusable",
        reason: "altered",
        message: expect.stringContaining("differs from its own SHA-256"),
      },
    ]);
  });

  it("is refused when a file is cut short, has grown or is missing, also where only sizes are looked at", async () => {
    await writeSample(store, first);
    const path = join(store, "checkpoint-1-e1", "server-1-of-2.weights.safetensors");
    const bytes = await readFile(path);
    for (const [change, message] of [
      [
        () => truncate(path, bytes.length - 1),
        `it has ${bytes.length - 1} bytes, the manifest says ${bytes.length}`,
      ],
      [() => truncate(path, 0), `it has 0 bytes, the manifest says ${bytes.length}`],
      [() => writeFile(path, Buffer.concat([bytes, bytes])), "the manifest says"],
      [() => rm(path), "is missing"],
    ] as const) {
      await change();
      for (const verify of ["checksums", "sizes"] as const) {
        expect(await listCheckpoints(store, { verify })).toMatchObject([
          { kind: "unusable", reason: "altered", message: expect.stringContaining(message) },
        ]);
      }
    }
  });

  it("verifies a part while it is read, against what was verified before", async () => {
    await writeSample(store, first);
    const { checkpoint } = await loadLatest(store, expectation);
    const file = "server-0-of-2.slot-m.safetensors";
    await alter(join(checkpoint.folder, file), -1);
    await expect(readPart(checkpoint, file)).rejects.toThrow(
      expect.objectContaining({ code: "corruptData", message: expect.stringContaining(file) }),
    );
    await expect(readPart(checkpoint, "server-9-of-9.state.json")).rejects.toThrow(
      expect.objectContaining({ code: "notFound" }),
    );
  });

  it("without manifest is torn, and never loaded", async () => {
    await writeSample(store, first);
    await rm(join(store, "checkpoint-1-e1", "manifest.json"));
    expect(await listCheckpoints(store)).toMatchObject([
      { reason: "torn", message: expect.stringContaining("checkpoint-1-e1 has no manifest.json") },
    ]);
  });

  it("of another format version, or of another model, says so", async () => {
    await writeSample(store, first);
    const path = join(store, "checkpoint-1-e1", "manifest.json");
    const text = await readFile(path, "utf8");
    expect(await listCheckpoints(store, { parametersFingerprint: "beef".repeat(16) })).toMatchObject([
      { reason: "otherModel", message: expect.stringContaining("of another model") },
    ]);
    await writeFile(path, text.replace('"formatVersion": 1', '"formatVersion": 2'));
    expect(await listCheckpoints(store)).toMatchObject([
      { reason: "otherFormat", message: expect.stringContaining("has format version 2; this version") },
    ]);
  });

  it("under the name of another is refused", async () => {
    await writeSample(store, first);
    await rename(join(store, "checkpoint-1-e1"), join(store, "checkpoint-9-e1"));
    expect(await listCheckpoints(store)).toMatchObject([
      { reason: "altered", message: expect.stringContaining("is of checkpoint-1-e1") },
    ]);
  });
});

describe("a store", () => {
  it("lists newest first, and passes over what is no checkpoint", async () => {
    for (const [sequence, coordinatorEpoch] of [
      [9, 1],
      [10, 1],
      [11, 2],
    ] as const) {
      await writeSample(store, { sequence, coordinatorEpoch });
    }
    await mkdir(join(store, ".removed-checkpoint-12-e3-00000000"));
    await mkdir(join(store, "other"));
    await writeFile(join(store, "checkpoint-13-e3"), "a file");
    const ids = (await listCheckpoints(store)).map(({ id }) => id);
    expect(ids.map(({ sequence }) => sequence)).toEqual([11, 10, 9]);
    expect([...ids].sort(compareNewestFirst)).toEqual(ids);
  });

  it("offers the checkpoint before the newest where that can't be loaded, and says why", async () => {
    await writeSample(store, first);
    await writeSample(store, second);
    await alter(join(store, "checkpoint-2-e1", "server-0-of-2.weights.safetensors"), -1);
    await mkdir(join(store, "checkpoint-3-e1"));
    const { checkpoint, passedOver, message } = await loadLatest(store, expectation);
    expect(checkpoint.id).toEqual(first);
    expect(passedOver.map(({ reason }) => reason)).toEqual(["torn", "altered"]);
    expect(message).toMatch(
      /checkpoint-3-e1 has no manifest.*server-0-of-2.weights.safetensors was altered.*from checkpoint-1-e1/,
    );
  });

  it("without any checkpoint, or that is not there, says so", async () => {
    await expect(loadLatest(store, expectation)).rejects.toThrow(`${store} has no checkpoint`);
    const missing = join(store, "missing");
    for (const call of [
      loadLatest(missing, expectation),
      listCheckpoints(missing),
      writeSample(missing, first),
      removeCheckpoints(missing, { keepLast: 1, keepBest: 0, bestBy: "loss", abandonedAfterMs: 0 }, 0),
    ]) {
      await expect(call).rejects.toThrow(
        expect.objectContaining({ code: "notFound", message: expect.stringContaining(missing) }),
      );
    }
    expect(await readdir(store)).toEqual([]);
  });
});

describe("committing", () => {
  it("is refused before all parts are there as their writers said", async () => {
    const parts = sampleParts(2, 1);
    const records = [];
    for (const part of parts) records.push(await writePart(store, first, part));
    const path = join(store, "checkpoint-1-e1", "server-0-of-2.state.json");
    await truncate(path, 5);
    await expect(commitCheckpoint(store, checkpointManifest(first, 2, records))).rejects.toThrow(
      `${path} has 5 bytes, expected`,
    );
    await rm(path);
    await expect(commitCheckpoint(store, checkpointManifest(first, 2, records))).rejects.toThrow(
      `${path} is not there`,
    );
    expect(await listCheckpoints(store)).toMatchObject([{ reason: "torn" }]);
  });

  it.each<[string, (manifest: CheckpointManifest) => CheckpointManifest, RegExp]>([
    [
      "without a server's part",
      (m) => ({ ...m, files: m.files.filter(({ file }) => file !== "server-1-of-2.state.json") }),
      /does not list server-1-of-2.state.json/,
    ],
    [
      "with a file twice",
      (m) => ({ ...m, files: [...m.files, ...m.files.slice(0, 1)] }),
      /lists a file twice/,
    ],
    ["with a path for a file", (m) => withFile(m, "../secret.json"), /wrong files.14.file/],
    ["with sequence 0", (m) => ({ ...m, sequence: 0 }), /wrong sequence/],
  ])("refuses a manifest %s", async (_, change, message) => {
    const committed = await writeSample(store, second);
    await expect(commitCheckpoint(store, change(committed))).rejects.toThrow(
      expect.objectContaining({ code: "invalidArgument", message: expect.stringMatching(message) }),
    );
  });

  function withFile(m: CheckpointManifest, file: string): CheckpointManifest {
    return {
      ...m,
      files: [...m.files.slice(0, 13), ...m.files.slice(0, 1), { file, bytes: 0, sha256: "0".repeat(64) }],
    };
  }

  it("again with the same manifest changes nothing; with another, or another part, is refused", async () => {
    const committed = await writeSample(store, first);
    await commitCheckpoint(store, committed);
    await expect(commitCheckpoint(store, { ...committed, createdAtMs: 1 })).rejects.toThrow(
      /committed with another manifest/,
    );
    await expect(writePart(store, first, { file: "server-0-of-2.state.json", chunks: [] })).rejects.toThrow(
      expect.objectContaining({ code: "failedPrecondition" }),
    );
    expect(await listCheckpoints(store)).toMatchObject([{ kind: "usable" }]);
  });

  it("holds against a slow writer that ends after another has written its part and the checkpoint is committed", async () => {
    const records: PartRecord[] = [];
    for (const part of sampleParts(2, 1)) records.push(await writePart(store, first, part));
    const late = { file: "server-0-of-2.state.json", chunks: [Buffer.from("older")] };
    const open = (async (...given: Parameters<typeof nodeFileSystem.open>) => {
      if (given[1] === "wx") await commitCheckpoint(store, checkpointManifest(first, 2, records));
      return nodeFileSystem.open(...given);
    }) as typeof nodeFileSystem.open;
    await expect(writePart(store, first, late, { ...nodeFileSystem, open })).rejects.toThrow(
      expect.objectContaining({ code: "failedPrecondition" }),
    );
    expect(await listCheckpoints(store)).toMatchObject([{ kind: "usable" }]);
    expect(await filesBelow(store)).toHaveLength(14);
  });

  it("writes a part no faster than it is asked to, and gives other work its turn meanwhile", async () => {
    const chunks = [new Uint8Array(12 * 2 ** 20).fill(7)];
    let turns = 0;
    const timer = setInterval(() => turns++, 20);
    const startMs = performance.now();
    const part = await writePart(
      store,
      first,
      { file: "server-0-of-2.state.json", chunks },
      nodeFileSystem,
      2e7,
    );
    clearInterval(timer);
    expect(part.bytes).toBe(12 * 2 ** 20);
    // Two of its three pieces at 20 MB/s come before the last.
    expect(performance.now() - startMs).toBeGreaterThan(400);
    expect(turns).toBeGreaterThan(3);
  });

  it("is refused to a coordinator that another has taken over from, even before the other has committed", async () => {
    await writePart(
      store,
      { sequence: 2, coordinatorEpoch: 2 },
      { file: "server-0-of-2.state.json", chunks: [] },
    );
    await expect(writeSample(store, { sequence: 3, coordinatorEpoch: 1 })).rejects.toThrow(
      /this coordinator has epoch 1, but the store has checkpoint-2-e2/,
    );
  });

  it("clears what killed writers left", async () => {
    await mkdir(join(store, "checkpoint-1-e1"));
    const left = join(store, "checkpoint-1-e1", ".server-0-of-2.state.json.tmp-0123abcd");
    await writeFile(left, "half");
    await writeSample(store, first);
    expect(await filesBelow(store)).not.toContain(".server-0-of-2.state.json.tmp-0123abcd");
  });

  it("takes part names only", async () => {
    for (const file of ["../x.json", ".hidden.json", "manifest.json", "a/b.json", "noextension"]) {
      await expect(writePart(store, first, { file, chunks: [] })).rejects.toThrow(
        /is not the name of a checkpoint's part/,
      );
    }
    expect(await readdir(store)).toEqual([]);
  });
});

describe("removeCheckpoints", () => {
  const policy = { keepLast: 1, keepBest: 1, bestBy: "loss", abandonedAfterMs: 60_000 } as const;

  it("keeps the last and the best, and clears what an earlier removal had left", async () => {
    for (const [sequence, loss] of [
      [1, 0.3],
      [2, 0.1],
      [3, 0.2],
      [4, 0.4],
    ] as const) {
      await writeSample(store, { sequence, coordinatorEpoch: 1 }, { validation: { loss, accuracy: 0.5 } });
    }
    await rename(join(store, "checkpoint-1-e1"), join(store, ".removed-checkpoint-1-e1-00000000"));
    expect(await removeCheckpoints(store, policy, Date.now())).toEqual([
      { name: "checkpoint-3-e1", reason: "superseded" },
    ]);
    expect((await readdir(store)).sort()).toEqual(["checkpoint-2-e1", "checkpoint-4-e1"]);
  });

  it("keeps the one before when the newest is damaged where only its checksum shows it", async () => {
    await writeSample(store, first);
    await writeSample(store, second);
    await alter(join(store, "checkpoint-2-e1", "server-0-of-2.weights.safetensors"), -1);
    expect(await removeCheckpoints(store, { ...policy, keepBest: 0 }, Date.now())).toEqual([]);
    expect((await loadLatest(store, expectation)).checkpoint.id).toEqual(first);
  });

  it("removes a half-written one when it is old, by the time of its newest file", async () => {
    await writeSample(store, first);
    await writePart(store, second, { file: "server-0-of-2.state.json", chunks: [] });
    expect(await removeCheckpoints(store, policy, Date.now())).toEqual([]);
    expect(await removeCheckpoints(store, policy, Date.now() + 120_000)).toEqual([
      { name: "checkpoint-2-e1", reason: "abandoned" },
    ]);
    expect(await readdir(store)).toEqual(["checkpoint-1-e1"]);
  });
});
