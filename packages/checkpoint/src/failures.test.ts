import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { isTemporary } from "./durable-file.ts";
import { type FileSystem, nodeFileSystem } from "./file-system.ts";
import { placeProbe } from "./probe.ts";
import { listCheckpoints, loadLatest } from "./read-checkpoint.ts";
import { removeCheckpoints } from "./remove-checkpoints.ts";
import { writeSample } from "./sample.test.suite.ts";

const first = { sequence: 1, coordinatorEpoch: 1 };
const second = { sequence: 2, coordinatorEpoch: 1 };
/** So that there are few files. */
const oneServer = { serverCount: 1 };
const policy = { keepLast: 1, keepBest: 0, bestBy: "loss", abandonedAfterMs: 0 } as const;

async function temporariesBelow(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => isTemporary(name.split("/").at(-1) ?? ""));
}

/**
 * A file system of which calls that change something fail where `fails(n)` says so, n from 0. It does not really
 * wait for the disk: there is no loss of power here.
 */
function failing(code: string, fails: (call: number) => boolean): { files: FileSystem; calls: () => number } {
  let calls = 0;
  const guard = () => {
    if (!fails(calls++)) return;
    throw Object.assign(new Error(`${code}: injected`), { code });
  };
  const guarded = <T extends (...given: never[]) => Promise<unknown>>(call: T) =>
    (async (...given: Parameters<T>) => {
      guard();
      return call(...given);
    }) as unknown as T;
  const open = (async (...given: Parameters<FileSystem["open"]>) => {
    if (given[1] !== "r") guard();
    const handle = await nodeFileSystem.open(...given);
    return new Proxy<FileHandle>(handle, {
      get(target, name) {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== "function") return value;
        const bound = value.bind(target) as (...given: never[]) => Promise<unknown>;
        if (name === "sync") return guarded(async () => undefined);
        return name === "write" ? guarded(bound) : bound;
      },
    });
  }) as FileSystem["open"];
  const { mkdir, rename, rm } = nodeFileSystem;
  const changing = { mkdir: guarded(mkdir), rename: guarded(rename), rm: guarded(rm) };
  return { files: { ...nodeFileSystem, ...changing, open }, calls: () => calls };
}

describe("a store whose disk fails", { timeout: 120_000 }, () => {
  let store: string;
  let callsOfOne: number;

  beforeEach(async () => {
    store = await mkdtemp(join(tmpdir(), "downpour-failures-"));
    const counting = failing("", () => false);
    await writeSample(store, first, oneServer, counting.files);
    callsOfOne = counting.calls();
  });

  afterEach(() => rm(store, { recursive: true }));

  it("at any one call leaves the earlier checkpoint, no temporary file, and the new one whole or torn", async () => {
    expect(callsOfOne).toBeGreaterThan(40);
    for (let failed = 0; failed < callsOfOne; failed++) {
      const { files } = failing("ENOSPC", (call) => call === failed);
      const outcome = await writeSample(store, second, oneServer, files).catch((error: unknown) => error);
      expect(outcome, `call ${failed}`).toMatchObject({
        code: "resourceExhausted",
        message: expect.stringMatching(
          new RegExp(`${store}.* failed: the disk is full \\(ENOSPC\\).*checkpoint.uri`),
        ),
      });
      expect(await temporariesBelow(store), `call ${failed}`).toEqual([]);
      await expectWholeOrTorn(`call ${failed}`);
      await rm(join(store, "checkpoint-2-e1"), { recursive: true, force: true });
    }
  });

  it("from any call on, as when the process is killed there, leaves only whole or torn checkpoints", async () => {
    const sound = failing("", () => false).files;
    for (let failed = 0; failed < callsOfOne; failed++) {
      const { files } = failing("EIO", (call) => call >= failed);
      await expect(writeSample(store, second, oneServer, files)).rejects.toMatchObject({
        code: "environment",
      });
      const isWhole = await expectWholeOrTorn(`from call ${failed} on`);
      // What was left does not stand in the way of writing it again, and is cleared by it.
      if (!isWhole) await writeSample(store, second, oneServer, sound);
      expect((await loadLatest(store, {})).checkpoint.id).toEqual(second);
      expect(await temporariesBelow(store)).toEqual([]);
      await rm(join(store, "checkpoint-2-e1"), { recursive: true });
    }
  });

  /** Says whether the newer one is whole. */
  async function expectWholeOrTorn(about: string): Promise<boolean> {
    const kinds = (await listCheckpoints(store)).map((entry) =>
      entry.kind === "usable" ? "usable" : entry.reason,
    );
    expect(kinds.at(-1), about).toBe("usable");
    const newer = kinds.slice(0, -1);
    expect([[], ["torn"], ["usable"]], about).toContainEqual(newer);
    return newer[0] === "usable";
  }

  it.each([
    ["EROFS", "environment", /may not do that there \(EROFS\)/],
    ["EACCES", "environment", /may not do that there \(EACCES\)/],
    ["EINVAL", "environment", /can't do that \(EINVAL\).*fsync/],
    ["EDQUOT", "resourceExhausted", /the disk is full \(EDQUOT\)/],
  ])("with %s says %s and what to do, to a probe too", async (error, code, message) => {
    const { files } = failing(error, () => true);
    for (const call of [writeSample(store, second, {}, files), placeProbe(store, "nonce", files)]) {
      await expect(call).rejects.toThrow(
        expect.objectContaining({ code, message: expect.stringMatching(message) }),
      );
    }
    expect(await readdir(store)).toEqual(["checkpoint-1-e1"]);
  });

  it("removes nothing in part: what can't be renamed away stays whole", async () => {
    await writeSample(store, second);
    const { files } = failing("EROFS", () => true);
    await expect(removeCheckpoints(store, policy, Date.now(), {}, files)).rejects.toMatchObject({
      code: "environment",
    });
    expect((await listCheckpoints(store)).map(({ kind }) => kind)).toEqual(["usable", "usable"]);
  });

  it("that fails in the middle of a removal leaves nothing that a reader takes for a checkpoint", async () => {
    await writeSample(store, second);
    const { files } = failing("EIO", (call) => call > 1);
    await expect(removeCheckpoints(store, policy, Date.now(), {}, files)).rejects.toMatchObject({
      code: "environment",
    });
    expect((await listCheckpoints(store)).map(({ name }) => name)).toEqual(["checkpoint-2-e1"]);
    await removeCheckpoints(store, policy, Date.now());
    expect(await readdir(store)).toEqual(["checkpoint-2-e1"]);
  });
});

/** Mounts a file system in memory; says why where that does not work. */
function mountTmpfs(folder: string): string | undefined {
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=160k", "tmpfs", folder]);
  return mount.status === 0 ? undefined : (mount.error?.message ?? `${mount.stderr}`.trim());
}

function whyNoTmpfs(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "downpour-tmpfs-"));
  const reason = mountTmpfs(folder);
  if (reason === undefined) spawnSync("umount", [folder]);
  rmdirSync(folder);
  return reason;
}

const reason = whyNoTmpfs();
const skipped = reason === undefined ? "" : ` (skipped: no tmpfs can be mounted here: ${reason})`;

describe.skipIf(reason !== undefined)(`a small disk${skipped}`, () => {
  let store: string;

  beforeAll(() => {
    store = mkdtempSync(join(tmpdir(), "downpour-tmpfs-"));
    expect(mountTmpfs(store)).toBeUndefined();
  });

  afterAll(() => {
    spawnSync("umount", [store]);
    rmdirSync(store);
  });

  it("that is full refuses a checkpoint, keeps the earlier ones, and takes the next when there is room", async () => {
    let sequence = 1;
    let refusal: unknown;
    for (; refusal === undefined && sequence < 50; sequence++) {
      refusal = await writeSample(store, { sequence, coordinatorEpoch: 1 }).then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    const message = expect.stringMatching(/checkpoint-\d+-e1.* failed: the disk is full \(ENOSPC\)/);
    expect(refusal).toMatchObject({ code: "resourceExhausted", message });
    expect(sequence).toBeGreaterThan(2);
    expect(await temporariesBelow(store)).toEqual([]);
    const entries = await listCheckpoints(store);
    const usable = entries.filter((entry) => entry.kind === "usable");
    expect(usable).toHaveLength(sequence - 2);
    expect(usable[0]?.id.sequence).toBe(sequence - 2);
    await removeCheckpoints(store, policy, Date.now() + 1000);
    expect(await readdir(store)).toEqual([`checkpoint-${sequence - 2}-e1`]);
    await writeSample(store, { sequence, coordinatorEpoch: 1 });
    expect((await loadLatest(store, {})).checkpoint.id.sequence).toBe(sequence);
  });

  it("that is mounted read-only refuses writing and removing with a reason, and can be read", async () => {
    const remount = spawnSync("mount", ["-o", "remount,ro", store]);
    expect(`${remount.stderr}`).toBe("");
    const { checkpoint } = await loadLatest(store, {});
    const next = { sequence: checkpoint.id.sequence + 1, coordinatorEpoch: 1 };
    await expect(placeProbe(store, "nonce")).rejects.toMatchObject({
      code: "environment",
      message: expect.stringContaining(`writing ${store}/.probe-nonce failed: this process may not do that`),
    });
    await expect(writeSample(store, next)).rejects.toMatchObject({
      code: "environment",
      message: expect.stringContaining("EROFS"),
    });
    expect(await temporariesBelow(store)).toEqual([]);
    expect((await loadLatest(store, {})).checkpoint.id).toEqual(checkpoint.id);
  });
});
