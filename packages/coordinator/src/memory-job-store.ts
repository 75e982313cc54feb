import {
  checkStoreKey,
  checkStoreValue,
  type DeleteResult,
  type JobStore,
  type PutResult,
  type StoreEntry,
  storeClosedError,
} from "./job-store.ts";

/** A JobStore that is gone with its process: for simulations and tests. */
export class MemoryJobStore implements JobStore {
  readonly #entries = new Map<string, StoreEntry>();
  #revision = 0;
  #closed = false;

  async get(key: string): Promise<StoreEntry | undefined> {
    this.#check(key);
    return this.#entries.get(key);
  }

  async put(key: string, value: string, expectedRevision: number | undefined): Promise<PutResult> {
    this.#check(key);
    checkStoreValue(key, value);
    const actualRevision = this.#entries.get(key)?.revision;
    if (actualRevision !== expectedRevision) return { kind: "conflict", actualRevision };
    this.#revision += 1;
    this.#entries.set(key, { key, value, revision: this.#revision });
    return { kind: "stored", revision: this.#revision };
  }

  async delete(key: string, expectedRevision: number): Promise<DeleteResult> {
    this.#check(key);
    const actualRevision = this.#entries.get(key)?.revision;
    if (actualRevision !== expectedRevision) return { kind: "conflict", actualRevision };
    this.#entries.delete(key);
    return { kind: "deleted" };
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    if (this.#closed) throw storeClosedError();
    return [...this.#entries.values()]
      .filter((entry) => entry.key.startsWith(prefix))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(key: string): void {
    if (this.#closed) throw storeClosedError();
    checkStoreKey(key);
  }
}
