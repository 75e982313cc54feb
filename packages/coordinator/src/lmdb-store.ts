import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";
import { type Database, open, type RootDatabase } from "lmdb";
import {
  checkStoreKey,
  checkStoreValue,
  type DeleteResult,
  type JobStore,
  type PutResult,
  type StoreEntry,
  storeClosedError,
} from "./job-store.ts";

type Stored = readonly [revision: number, value: string];

/**
 * The embedded JobStore: one LMDB environment in one folder of this machine. Several processes of the machine may
 * have it open. A write returns when its transaction is on the disk (some milliseconds). Network file systems
 * are not supported by LMDB.
 */
export class LmdbJobStore implements JobStore {
  readonly folder: string;
  readonly #root: RootDatabase<number, string>;
  readonly #entries: Database<Stored, string>;
  #closed = false;

  private constructor(folder: string, root: RootDatabase<number, string>) {
    this.folder = folder;
    this.#root = root;
    this.#entries = root.openDB<Stored, string>("entries", { encoding: "json" });
  }

  /**
   * Opens the store in a folder, which is made where it does not exist.
   * @throws DownpourError environment when the folder cannot be made or written, or holds no LMDB store
   */
  static open(folder: string): LmdbJobStore {
    try {
      mkdirSync(folder, { recursive: true });
      checkFolder(folder);
      // A folder named "job.v1" is a folder too; and no write is acknowledged before it is on the disk.
      const options = { noSubdir: false, overlappingSync: false, maxDbs: 2, encoding: "json" } as const;
      return new LmdbJobStore(folder, open<number, string>(folder, options));
    } catch (cause) {
      throw new DownpourError(
        "environment",
        `the job store cannot be opened in ${folder}: ${messageOf(cause)}; name a local folder that this user ` +
          "can write",
        { facts: { folder }, cause },
      );
    }
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    this.#check(key);
    return entryOf(key, this.#entries.get(key));
  }

  async put(key: string, value: string, expectedRevision: number | undefined): Promise<PutResult> {
    this.#check(key);
    checkStoreValue(key, value);
    return this.#root.transaction((): PutResult => {
      const actualRevision = this.#entries.get(key)?.[0];
      if (actualRevision !== expectedRevision) return { kind: "conflict", actualRevision };
      const revision = (this.#root.get("revision") ?? 0) + 1;
      this.#root.putSync("revision", revision);
      this.#entries.putSync(key, [revision, value]);
      return { kind: "stored", revision };
    });
  }

  async delete(key: string, expectedRevision: number): Promise<DeleteResult> {
    this.#check(key);
    return this.#root.transaction((): DeleteResult => {
      const actualRevision = this.#entries.get(key)?.[0];
      if (actualRevision !== expectedRevision) return { kind: "conflict", actualRevision };
      this.#entries.removeSync(key);
      return { kind: "deleted" };
    });
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    if (this.#closed) throw storeClosedError();
    const entries: StoreEntry[] = [];
    for (const { key, value } of this.#entries.getRange(prefix === "" ? {} : { start: prefix })) {
      if (!key.startsWith(prefix)) break;
      entries.push({ key, value: value[1], revision: value[0] });
    }
    return entries;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#root.close();
  }

  #check(key: string): void {
    if (this.#closed) throw storeClosedError();
    checkStoreKey(key);
  }
}

/**
 * Throws for a folder that LMDB could not open: its addon ends the whole process then, instead of throwing.
 * A data file of the LMDB inside begins with a page header of 24 bytes, then the magic number in the machine's
 * byte order.
 */
function checkFolder(folder: string): void {
  accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  const files = [join(folder, "data.mdb"), join(folder, "lock.mdb")].filter((file) => existsSync(file));
  for (const file of files) accessSync(file, constants.R_OK | constants.W_OK);
  const data = files.find((file) => file.endsWith("data.mdb"));
  if (data === undefined) return;
  const header = new DataView(new ArrayBuffer(28));
  const descriptor = openSync(data, "r");
  const length = readSync(descriptor, header, 0, 28, 0);
  closeSync(descriptor);
  const isLmdb = [true, false].some((littleEndian) => header.getUint32(24, littleEndian) === 0xbeefc0de);
  if (length > 0 && !isLmdb) throw new Error(`${data} is not an LMDB data file`);
}

function entryOf(key: string, stored: Stored | undefined): StoreEntry | undefined {
  return stored === undefined ? undefined : { key, revision: stored[0], value: stored[1] };
}
