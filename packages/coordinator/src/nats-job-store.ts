import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import { DiscardPolicy, headers, RetentionPolicy, StorageType, type StoredMsg } from "nats";
import {
  checkStoreKey,
  checkStoreValue,
  type DeleteResult,
  type JobStore,
  type PutResult,
  type StoreConflict,
  type StoreEntry,
  storeClosedError,
} from "./job-store.ts";
import { ensureStream, NatsConnection, type NatsOptions } from "./nats-connection.ts";
import { isNoMessage, isWrongLastSequence } from "./nats-errors.ts";
import { bucketStreamOf, keyOfSubject, keySubjectOf, keySubjectsOf } from "./nats-names.ts";

/** What a key's subject holds last: a value, or the mark of its deletion. */
interface Last {
  readonly sequence: number;
  /** Undefined: the key was deleted. */
  readonly value: string | undefined;
}

/** A write or list that other writers come before so often gives up. */
const attemptsMax = 20;

/** Values that `list` asks for at once. */
const readsAtOnceMax = 32;

/** The header by which NATS's key-value buckets mark a deletion. */
const operationHeader = "KV-Operation";

/**
 * The JobStore of a cluster: one key-value bucket of NATS JetStream for each job, in files, with a history of one.
 * Any number of processes on any machines may have it open.
 *
 * - A revision is the sequence of the write in the bucket's stream. A deletion is a write too, so no revision comes
 *   back.
 * - A write compares the sequence of the whole bucket, not only that of its key: a cluster of NATS 2.9 checks the
 *   latter before it has agreed on the order of writes, and lets several pass (nats-server issue 4320). So writers of
 *   different keys make each other try again; after 20 attempts in a row, a write fails as unavailable.
 * - A write that returned survives the death of the server's process. One copy does not survive a power cut for sure:
 *   NATS forces its files to the disk only each two minutes (`sync_interval`). Three copies survive the loss of any
 *   one machine.
 * - Reads are answered by the node that leads the stream, not by replicas that may lag. For a moment around a change
 *   of leader a read may show an older value; writes compare and set against the latest all the same.
 * - `list` takes the names of all keys as of one sequence of the stream, then the values, and begins again when one
 *   of them was written since: what it returns is as of that sequence. Where others write the same keys without
 *   pause, it fails as unavailable after 20 attempts.
 * - While no server is reachable or too few nodes are up, calls wait for some `requestTimeoutMs` and then fail as
 *   unavailable. A write that failed so may have been carried out: read the key to learn it.
 */
export class NatsJobStore implements JobStore {
  readonly #job: string;
  readonly #connection: NatsConnection;
  readonly #stream: string;
  /** A sequence that the stream has reached: its last one, if nobody else writes. */
  #sequence: number;
  /** Settled when the write before is over. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(job: string, connection: NatsConnection, sequence: number) {
    this.#sequence = sequence;
    this.#job = job;
    this.#connection = connection;
    this.#stream = bucketStreamOf(job);
  }

  /**
   * Connects, and makes the job's bucket where it does not exist.
   * @throws DownpourError unavailable: no server answers; failedPrecondition: no JetStream, access refused, or the
   * bucket has other settings (another number of replicas)
   */
  static async open(job: string, options: NatsOptions): Promise<NatsJobStore> {
    const connection = await NatsConnection.open(`downpour ${job} state`, options);
    try {
      const settings = {
        name: bucketStreamOf(job),
        subjects: [keySubjectsOf(job)],
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        discard: DiscardPolicy.New,
        max_msgs_per_subject: 1,
        num_replicas: options.replicas ?? 1,
        allow_rollup_hdrs: true,
        deny_delete: true,
        allow_direct: false,
      };
      const { state } = await ensureStream(connection, settings);
      return new NatsJobStore(job, connection, state.last_seq);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    this.#check(key);
    const last = await this.#last(key);
    return last?.value === undefined ? undefined : { key, value: last.value, revision: last.sequence };
  }

  async put(key: string, value: string, expectedRevision: number | undefined): Promise<PutResult> {
    this.#check(key);
    checkStoreValue(key, value);
    const written = await this.#write(`put the key ${key}`, key, value, expectedRevision);
    return typeof written === "number" ? { kind: "stored", revision: written } : written;
  }

  async delete(key: string, expectedRevision: number): Promise<DeleteResult> {
    this.#check(key);
    const written = await this.#write(`delete the key ${key}`, key, undefined, expectedRevision);
    return typeof written === "number" ? { kind: "deleted" } : written;
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    this.#checkOpen();
    const what = `list the keys that begin with "${prefix}"`;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const entries = await this.#attemptList(what, prefix);
      if (entries !== undefined) return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    }
    throw this.#crowded(what);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#connection.close();
  }

  /** Undefined where a key was written since its name was taken. */
  async #attemptList(what: string, prefix: string): Promise<StoreEntry[] | undefined> {
    const info = await this.#call(what, () =>
      this.#connection.manager.streams.info(this.#stream, { subjects_filter: keySubjectsOf(this.#job) }),
    );
    const keys = Object.keys(info.state.subjects ?? {})
      .map((subject) => keyOfSubject(this.#job, subject))
      .filter((key) => key.startsWith(prefix));
    const entries: StoreEntry[] = [];
    for (let begin = 0; begin < keys.length; begin += readsAtOnceMax) {
      const some = keys.slice(begin, begin + readsAtOnceMax);
      const lasts = await Promise.all(some.map((key) => this.#last(key)));
      for (const [i, last] of lasts.entries()) {
        const key = some[i];
        if (key === undefined || last === undefined || last.sequence > info.state.last_seq) return undefined;
        if (last.value !== undefined) entries.push({ key, value: last.value, revision: last.sequence });
      }
    }
    return entries;
  }

  #last(key: string): Promise<Last | undefined> {
    return this.#call(`get the key ${key}`, async () => {
      try {
        const query = { last_by_subj: keySubjectOf(this.#job, key) };
        return lastOf(await this.#connection.manager.streams.getMessage(this.#stream, query));
      } catch (error) {
        if (isNoMessage(error)) return undefined;
        throw error;
      }
    });
  }

  /** Writes of one store take turns: they would only be in each other's way. Undefined marks a key as deleted. */
  #write(
    what: string,
    key: string,
    value: string | undefined,
    expectedRevision: number | undefined,
  ): Promise<number | StoreConflict> {
    const beganMs = performance.now();
    const write = this.#turn.then(() => {
      if (performance.now() - beganMs > this.#connection.patienceMs) throw this.#connection.lostError(what);
      return this.#writeNow(what, key, value, expectedRevision);
    });
    this.#turn = write.catch(() => undefined);
    return write;
  }

  async #writeNow(
    what: string,
    key: string,
    value: string | undefined,
    expectedRevision: number | undefined,
  ): Promise<number | StoreConflict> {
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      // First the sequence, then the key: so the key can't have changed before that sequence unseen.
      const sequence = attempt === 1 ? this.#sequence : await this.#lastSequence(what);
      const actualRevision = (await this.get(key))?.revision;
      if (actualRevision !== expectedRevision) return { kind: "conflict", actualRevision };
      const written = await this.#append(what, key, value, sequence);
      if (written !== undefined) {
        this.#sequence = written;
        return written;
      }
      await sleep(Math.random() * attempt);
    }
    throw this.#crowded(what);
  }

  async #lastSequence(what: string): Promise<number> {
    const info = await this.#call(what, () => this.#connection.manager.streams.info(this.#stream));
    return info.state.last_seq;
  }

  /** Writes if the stream's last sequence is that one, and answers the new one; else undefined. */
  #append(
    what: string,
    key: string,
    value: string | undefined,
    lastSequence: number,
  ): Promise<number | undefined> {
    return this.#call(what, async () => {
      const marks = headers();
      if (value === undefined) marks.set(operationHeader, "DEL");
      try {
        const subject = keySubjectOf(this.#job, key);
        const options = { headers: marks, expect: { lastSequence } };
        return (await this.#connection.streams.publish(subject, Buffer.from(value ?? ""), options)).seq;
      } catch (error) {
        if (isWrongLastSequence(error)) return undefined;
        throw error;
      }
    });
  }

  async #call<T>(what: string, request: () => Promise<T>): Promise<T> {
    this.#checkOpen();
    try {
      return await this.#connection.call(what, request);
    } catch (error) {
      throw this.#closed ? storeClosedError() : error;
    }
  }

  #crowded(what: string): DownpourError {
    return new DownpourError(
      "unavailable",
      `NATS at ${this.#connection.servers} could not ${what}: others wrote in between ${attemptsMax} times; try again`,
      { facts: { attemptsMax } },
    );
  }

  #check(key: string): void {
    this.#checkOpen();
    checkStoreKey(key);
  }

  #checkOpen(): void {
    if (this.#closed) throw storeClosedError();
  }
}

function lastOf(message: StoredMsg): Last {
  const operation = message.header?.get(operationHeader) ?? "";
  const value = operation === "" ? Buffer.from(message.data).toString() : undefined;
  return { sequence: message.seq, value };
}
