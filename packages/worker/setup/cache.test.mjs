import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { expect, it } from "vitest";
import { makeFolder, readProvenance } from "./cache.mjs";
import { withLock } from "./lock.mjs";
import { temporaryFolder } from "./test-fixtures.mjs";

/** A process id that is above what Linux and macOS give out. */
const noProcess = 2 ** 31 - 2;

it("makes a folder whole: two at once leave one of the two, and nothing else", async () => {
  const parent = temporaryFolder();
  const folder = path.join(parent, "library");
  const fill = (/** @type {string} */ who) =>
    makeFolder(folder, async (temporary) => {
      fs.writeFileSync(path.join(temporary, "a"), who);
      await Promise.resolve();
      fs.writeFileSync(path.join(temporary, "b"), who);
    });
  await Promise.all([fill("one"), fill("two")]);
  const [a, b] = ["a", "b"].map((name) => fs.readFileSync(path.join(folder, name), "utf8"));
  expect(a).toBe(b);
  expect(fs.readdirSync(parent)).toEqual(["library"]);
});

it("leaves nothing behind when filling fails", async () => {
  const parent = temporaryFolder();
  const failing = makeFolder(path.join(parent, "library"), () => Promise.reject(new Error("disk on fire")));
  await expect(failing).rejects.toThrow("disk on fire");
  expect(fs.readdirSync(parent)).toEqual([]);
});

it("removes what a set-up that is gone left behind", async () => {
  const parent = temporaryFolder();
  fs.mkdirSync(path.join(parent, `library.tmp-${os.hostname()}-${noProcess}-abcdef`));
  await makeFolder(path.join(parent, "library"), () => Promise.resolve());
  expect(fs.readdirSync(parent)).toEqual(["library"]);
});

it("names the folder and the variable when the cache can't be written", async () => {
  const file = path.join(temporaryFolder(), "a-file");
  fs.writeFileSync(file, "");
  await expect(makeFolder(path.join(file, "library"), () => Promise.resolve())).rejects.toThrow(
    `can't write to the cache folder ${file} (ENOTDIR). Set DOWNPOUR_CACHE_DIR`,
  );
});

it("takes a library of another size than recorded for incomplete", () => {
  const folder = temporaryFolder();
  const library = path.join(folder, "deps", "lib", "libtensorflow_cc.so.2");
  fs.mkdirSync(path.dirname(library), { recursive: true });
  fs.writeFileSync(library, "core");
  const provenance = { source: "a test", made: "", libraries: { "libtensorflow_cc.so.2": 4 } };
  fs.writeFileSync(path.join(folder, "provenance.json"), JSON.stringify(provenance));
  expect(readProvenance(folder)).toEqual(provenance);
  fs.appendFileSync(library, "!");
  expect(readProvenance(folder)).toBeUndefined();
});

it("lets the holders of a lock take turns", async () => {
  const lock = path.join(temporaryFolder(), "set-up.lock");
  /** @type {string[]} */
  const events = [];
  const said = new Set();
  const job = (/** @type {string} */ name) =>
    withLock(
      lock,
      (line) => said.add(line),
      async () => {
        events.push(`${name} in`);
        await new Promise((resolve) => setImmediate(resolve));
        events.push(`${name} out`);
      },
    );
  await Promise.all([job("one"), job("two")]);
  expect(events).toEqual(["one in", "one out", "two in", "two out"]);
  expect([...said]).toEqual(["another set-up is at work; waiting for it"]);
  expect(fs.existsSync(lock)).toBe(false);
});

it("takes over the lock of a process that is gone", async () => {
  const lock = path.join(temporaryFolder(), "set-up.lock");
  fs.mkdirSync(lock);
  fs.writeFileSync(path.join(lock, "owner"), `${os.hostname()} ${noProcess}`);
  expect(
    await withLock(
      lock,
      () => {},
      () => Promise.resolve("done"),
    ),
  ).toBe("done");
});
