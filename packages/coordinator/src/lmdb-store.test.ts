import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeJobStore } from "./job-store.test.suite.ts";
import { LmdbJobStore } from "./lmdb-store.ts";

let parent = "";
let made = 0;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "downpour-store-"));
});
afterAll(async () => {
  await rm(parent, { recursive: true, force: true });
});

/** A folder that does not exist yet. */
function freshFolder(): string {
  made += 1;
  return join(parent, `job.v${made}`, "state");
}

describeJobStore("LmdbJobStore", async () => {
  const folder = freshFolder();
  return {
    store: LmdbJobStore.open(folder),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
});

describe("LmdbJobStore", () => {
  it("keeps values and goes on with revisions when it is opened again", async () => {
    const folder = freshFolder();
    const first = LmdbJobStore.open(folder);
    const kept = await first.put("kept", "1", undefined);
    const gone = await first.put("gone", "2", undefined);
    if (kept.kind !== "stored" || gone.kind !== "stored") throw new Error("expected both to be stored");
    await first.delete("gone", gone.revision);
    await first.close();
    const second = LmdbJobStore.open(folder);
    expect(await second.list("")).toEqual([{ key: "kept", value: "1", revision: kept.revision }]);
    expect(await second.put("new", "3", undefined)).toEqual({ kind: "stored", revision: gone.revision + 1 });
    await second.close();
  });

  it("refuses a path that is no folder, naming it and what to do", async () => {
    const file = join(parent, "file");
    await writeFile(file, "");
    for (const folder of [file, join(file, "below")]) {
      expect(() => LmdbJobStore.open(folder)).toThrow(`the job store cannot be opened in ${folder}: `);
      expect(() => LmdbJobStore.open(folder)).toThrow("name a local folder that this user can write");
    }
  });

  it("refuses a folder whose data is not LMDB's, and takes one whose data file is empty", async () => {
    const folder = await mkdtemp(join(parent, "broken-"));
    const data = join(folder, "data.mdb");
    await writeFile(data, "not a database ".repeat(1000));
    expect(() => LmdbJobStore.open(folder)).toThrow(
      `the job store cannot be opened in ${folder}: ${data} is not an LMDB data file; name a local folder`,
    );
    await writeFile(data, "short");
    expect(() => LmdbJobStore.open(folder)).toThrow(`${data} is not an LMDB data file`);
    await writeFile(data, "");
    const store = LmdbJobStore.open(folder);
    expect(await store.put("k", "1", undefined)).toEqual({ kind: "stored", revision: 1 });
    await store.close();
  });

  it("shares one folder between two stores that compare and set against each other", async () => {
    const folder = freshFolder();
    const [one, two] = [LmdbJobStore.open(folder), LmdbJobStore.open(folder)];
    const writes = Array.from({ length: 10 }, (_, i) =>
      (i % 2 === 0 ? one : two).put("k", `${i}`, undefined),
    );
    const results = await Promise.all(writes);
    expect(results.filter((result) => result.kind === "stored")).toHaveLength(1);
    expect(await one.get("k")).toEqual(await two.get("k"));
    await one.close();
    expect((await two.get("k"))?.revision).toBe(1);
    await two.close();
  });
});
