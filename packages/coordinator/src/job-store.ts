import { DownpourError } from "@downpour/errors";

/** A stored value and the revision that wrote it. */
export interface StoreEntry {
  readonly key: string;
  /** Text, by convention JSON. */
  readonly value: string;
  /** Positive, larger than that of every earlier write to the store. */
  readonly revision: number;
}

/** Somebody else wrote the key: what its revision is, undefined where it does not exist. */
export interface StoreConflict {
  readonly kind: "conflict";
  readonly actualRevision: number | undefined;
}

export type PutResult = { readonly kind: "stored"; readonly revision: number } | StoreConflict;
export type DeleteResult = { readonly kind: "deleted" } | StoreConflict;

/**
 * Where the coordinator's durable state lives: a small key-value store with compare-and-set.
 *
 * - A write that returned survives the death of the process and, as far as the medium does, of the machine.
 * - Each write is atomic, and compares and sets against every other writer of the store.
 * - Revisions grow over the whole store and are never given twice, also not for a key that was deleted. So the
 *   revision of a lock key can be the coordinator epoch.
 * - Keys are 1 to 256 of the characters a-z, A-Z, 0-9, `-`, `_`, `/`, `=` and `.`, not beginning or ending with
 *   a dot; anything else throws invalidArgument. Values are at most `storeValueBytesMax` as UTF-8, longer ones
 *   throw resourceExhausted.
 * - After `close` every call throws failedPrecondition; closing again is no error.
 */
export interface JobStore {
  /** The value of a key, or undefined. */
  get(key: string): Promise<StoreEntry | undefined>;
  /**
   * Writes a value if the key's revision is the one expected (undefined: the key must not exist); otherwise
   * changes nothing and answers `conflict`.
   */
  put(key: string, value: string, expectedRevision: number | undefined): Promise<PutResult>;
  /** Removes a key if its revision is the one expected; otherwise changes nothing and answers `conflict`. */
  delete(key: string, expectedRevision: number): Promise<DeleteResult>;
  /** All entries whose key begins with a prefix (empty: all), sorted by key, as of one moment. */
  list(prefix: string): Promise<readonly StoreEntry[]>;
  close(): Promise<void>;
}

/** The longest value, in bytes of UTF-8; what a NATS server takes as it comes, less room for headers. */
export const storeValueBytesMax = 1_000_000;

const keyPattern = /^(?!\.)[-\w/=.]{1,256}(?<!\.)$/;

/** Throws invalidArgument unless the key is one that every store can hold. */
export function checkStoreKey(key: string): void {
  if (keyPattern.test(key)) return;
  throw new DownpourError(
    "invalidArgument",
    `the store key ${JSON.stringify(key)} is not 1 to 256 letters, digits, '-', '_', '/', '=' or inner dots`,
    { facts: { key } },
  );
}

/** Throws resourceExhausted for a value that is too long. */
export function checkStoreValue(key: string, value: string): void {
  const bytes = Buffer.byteLength(value);
  if (bytes <= storeValueBytesMax) return;
  throw new DownpourError(
    "resourceExhausted",
    `the value of store key "${key}" has ${bytes} bytes; at most ${storeValueBytesMax} can be stored`,
    { facts: { key, bytes, storeValueBytesMax } },
  );
}

/** The error of a call to a store that was closed. */
export function storeClosedError(): DownpourError {
  return new DownpourError("failedPrecondition", "the job store is closed; open it again");
}
