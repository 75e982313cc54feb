import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type JobStore, type PutResult, storeValueBytesMax } from "./job-store.ts";

/** A store under test; `dispose` is called after `close`. */
export interface JobStoreUnderTest {
  readonly store: JobStore;
  dispose?(): Promise<void>;
}

/** What every JobStore must do. `make` gives an empty store each time. */
export function describeJobStore(name: string, make: () => Promise<JobStoreUnderTest>): void {
  describe(`${name} is a JobStore`, () => {
    let store: JobStore;
    let underTest: JobStoreUnderTest;

    beforeEach(async () => {
      underTest = await make();
      store = underTest.store;
    });
    afterEach(async () => {
      await store.close();
      await underTest.dispose?.();
    });

    it("returns what was put, with its revision, and undefined for what was not", async () => {
      const revision = await stored(store.put("job/ledger", '{"a":"ä€😀"}', undefined));
      expect(await store.get("job/ledger")).toEqual({ key: "job/ledger", value: '{"a":"ä€😀"}', revision });
      expect(await store.get("job")).toBeUndefined();
      expect(revision).toBeGreaterThan(0);
    });

    it("creates a key once", async () => {
      const revision = await stored(store.put("k", "1", undefined));
      expect(await store.put("k", "2", undefined)).toEqual({ kind: "conflict", actualRevision: revision });
      expect((await store.get("k"))?.value).toBe("1");
    });

    it("replaces a value only under its own revision", async () => {
      const first = await stored(store.put("k", "1", undefined));
      const second = await stored(store.put("k", "2", first));
      expect(second).toBeGreaterThan(first);
      expect(await store.put("k", "3", first)).toEqual({ kind: "conflict", actualRevision: second });
      expect(await store.get("k")).toEqual({ key: "k", value: "2", revision: second });
    });

    it("does not create a key under a revision", async () => {
      expect(await store.put("k", "1", 7)).toEqual({ kind: "conflict", actualRevision: undefined });
      expect(await store.get("k")).toBeUndefined();
    });

    it("deletes a key only under its own revision", async () => {
      const revision = await stored(store.put("k", "1", undefined));
      expect(await store.delete("k", revision + 1)).toEqual({ kind: "conflict", actualRevision: revision });
      expect(await store.delete("k", revision)).toEqual({ kind: "deleted" });
      expect(await store.delete("k", revision)).toEqual({ kind: "conflict", actualRevision: undefined });
      expect(await store.get("k")).toBeUndefined();
    });

    it("never gives a revision twice, also not after a deletion or for another key", async () => {
      const first = await stored(store.put("a", "1", undefined));
      const second = await stored(store.put("b", "1", undefined));
      await store.delete("b", second);
      await store.delete("a", first);
      const third = await stored(store.put("a", "1", undefined));
      expect(second).toBeGreaterThan(first);
      expect(third).toBeGreaterThan(second);
      expect(await store.put("a", "2", first)).toEqual({ kind: "conflict", actualRevision: third });
    });

    it("writes nothing under a revision that might be the deletion's own", async () => {
      const revision = await stored(store.put("k", "1", undefined));
      await store.delete("k", revision);
      for (const guess of [revision, revision + 1, revision + 2]) {
        expect(await store.put("k", "2", guess)).toEqual({ kind: "conflict", actualRevision: undefined });
        expect(await store.delete("k", guess)).toEqual({ kind: "conflict", actualRevision: undefined });
      }
      expect(await stored(store.put("k", "3", undefined))).toBeGreaterThan(revision);
    });

    it("lets exactly one of many concurrent writers win", async () => {
      const creations = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.put("k", `${i}`, undefined)),
      );
      const won = creations.filter((result) => result.kind === "stored");
      expect(won).toHaveLength(1);
      const revision = won[0]?.kind === "stored" ? won[0].revision : 0;
      const updates = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.put("k", `u${i}`, revision)),
      );
      expect(updates.filter((result) => result.kind === "stored")).toHaveLength(1);
      expect((await store.get("k"))?.value).toMatch(/^u/);
    });

    it("lists the entries under a prefix, sorted by key", async () => {
      for (const key of ["run/b", "run/a", "run", "runs/a", "rum", "a"]) {
        await stored(store.put(key, `of ${key}`, undefined));
      }
      expect((await store.list("run/")).map(({ key, value }) => [key, value])).toEqual([
        ["run/a", "of run/a"],
        ["run/b", "of run/b"],
      ]);
      expect((await store.list("")).map(({ key }) => key)).toEqual([
        "a",
        "rum",
        "run",
        "run/a",
        "run/b",
        "runs/a",
      ]);
      expect(await store.list("x")).toEqual([]);
      expect((await store.list("run/a"))[0]?.revision).toBe((await store.get("run/a"))?.revision);
    });

    it.each(["", ".a", "a.", "a b", "a*", "ä", "k".repeat(257)])("refuses the key %j", async (key) => {
      await expect(store.put(key, "1", undefined)).rejects.toMatchObject({ code: "invalidArgument" });
      await expect(store.get(key)).rejects.toMatchObject({ code: "invalidArgument" });
      await expect(store.delete(key, 1)).rejects.toMatchObject({ code: "invalidArgument" });
    });

    it("holds the longest key and value, and refuses a longer value with the numbers", async () => {
      const key = "k".repeat(256);
      const value = "v".repeat(storeValueBytesMax);
      await stored(store.put(key, value, undefined));
      expect((await store.get(key))?.value === value).toBe(true);
      await expect(store.put("long", `${value}v`, undefined)).rejects.toThrow(
        `the value of store key "long" has ${storeValueBytesMax + 1} bytes; at most ${storeValueBytesMax}`,
      );
    });

    it("refuses every call after close, and closes twice", async () => {
      await store.close();
      await store.close();
      await expect(store.get("k")).rejects.toMatchObject({ code: "failedPrecondition" });
      await expect(store.put("k", "1", undefined)).rejects.toMatchObject({ code: "failedPrecondition" });
      await expect(store.delete("k", 1)).rejects.toMatchObject({ code: "failedPrecondition" });
      await expect(store.list("")).rejects.toMatchObject({ code: "failedPrecondition" });
    });

    it("agrees with a map under any sequence of writes", async () => {
      const key = fc.constantFrom("a", "a/b", "b");
      const move = fc.record({
        kind: fc.constantFrom("put", "delete"),
        key,
        right: fc.boolean(),
        value: fc.string(),
      });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(move, { maxLength: 12 }), async (moves) => {
          run += 1;
          const prefix = `run${run}/`;
          const model = new Map<string, { value: string; revision: number }>();
          for (const next of moves) {
            const at = prefix + next.key;
            const actualRevision = model.get(at)?.revision;
            const expected = next.right ? actualRevision : (actualRevision ?? 0) + 1;
            if (next.kind === "put") {
              const result = await store.put(at, next.value, expected);
              if (next.right && result.kind === "stored")
                model.set(at, { value: next.value, revision: result.revision });
              else expect(result).toEqual({ kind: "conflict", actualRevision });
            } else if (expected !== undefined) {
              const result = await store.delete(at, expected);
              expect(result).toEqual(next.right ? { kind: "deleted" } : { kind: "conflict", actualRevision });
              if (next.right) model.delete(at);
            }
          }
          const entries = [...model].map(([at, entry]) => ({ key: at, ...entry }));
          expect(await store.list(prefix)).toEqual(entries.sort((a, b) => (a.key < b.key ? -1 : 1)));
        }),
        { numRuns: 10 },
      );
    });
  });
}

async function stored(result: Promise<PutResult>): Promise<number> {
  const put = await result;
  if (put.kind !== "stored") throw new Error(`expected a stored value, got ${JSON.stringify(put)}`);
  return put.revision;
}
