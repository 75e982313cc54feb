import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findProbe, listProbes, placeProbe, removeProbe } from "./probe.ts";
import { listCheckpoints } from "./read-checkpoint.ts";

let store: string;
let other: string;

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "downpour-probe-"));
  other = await mkdtemp(join(tmpdir(), "downpour-probe-"));
});

afterEach(async () => {
  await rm(store, { recursive: true });
  await rm(other, { recursive: true });
});

it("is found by who sees the same folder, and leaves nothing behind", async () => {
  await placeProbe(store, "nonce-1");
  await findProbe(store, "nonce-1");
  expect(await listCheckpoints(store)).toEqual([]);
  expect(await listProbes(store)).toEqual(["nonce-1"]);
  await removeProbe(store, "nonce-1");
  await removeProbe(store, "nonce-1");
  expect(await readdir(store)).toEqual([]);
});

it("is not found by who sees another folder, or an older probe", async () => {
  await placeProbe(store, "nonce-1");
  await writeFile(join(store, ".probe-nonce-2"), "nonce-1");
  for (const [folder, nonce] of [
    [other, "nonce-1"],
    [store, "nonce-2"],
    [store, "nonce-3"],
  ] as const) {
    await expect(findProbe(folder, nonce)).rejects.toThrow(
      expect.objectContaining({
        code: "failedPrecondition",
        message: expect.stringContaining("is not the same folder on all machines"),
      }),
    );
  }
});

it("refuses a folder that is not there, and a nonce that leads elsewhere", async () => {
  await expect(placeProbe(join(store, "missing"), "nonce-1")).rejects.toThrow(
    expect.objectContaining({ code: "notFound" }),
  );
  await expect(placeProbe(store, "../nonce")).rejects.toThrow(/is not 1 to 64 letters, digits/);
});
