import { limits } from "@downpour/protocol";
import { sliceMoved } from "./admission.ts";
import type { After } from "./gate-keeper.ts";
import type { ReplicaLog } from "./replica-log.ts";
import type {
  ConnectReplica,
  FillFacts,
  LogEntry,
  ReplicaConnection,
  ReplicaRefusal,
} from "./replica-messages.ts";
import type { Snapshots } from "./snapshots.ts";

/** Messages with entries that are not answered; entries gather behind them, bounded by the pushes that wait for them. */
const messagesInFlightMax = 4;
/** More entries than that can only be marks of pulls, which nobody waits for: the replica is filled anew instead. */
const entriesQueuedMax = 65_536;
/** Pauses before a fill is tried again, doubling. */
const pauseMsMin = 50;
const pauseMsMax = 1000;
/** A replica that could not be filled so often in a row, over about 5 s, is reported as lost. */
const failuresMax = 10;

export interface ReplicaLinkOptions {
  readonly address: string;
  readonly connect: ConnectReplica;
  readonly snapshots: Snapshots;
  readonly after: After;
  /** The open round. */
  readonly round: () => number;
  /** Copies of pulled versions are dropped where a fill begins: the replica has none either. */
  readonly forgetPulled: (log: ReplicaLog) => void;
  /** A replica is in step, or is not any more. */
  readonly onChange: () => void;
  /** The replica knows a higher term. */
  readonly onFenced: (log: ReplicaLog) => void;
}

/**
 * All that goes to one server that keeps replicas: fills, one slice after the other, and log entries. It has its own
 * connection and queue, and nothing that this server does for others waits for it.
 */
export class ReplicaLink {
  readonly #options: ReplicaLinkOptions;
  readonly #logs = new Map<number, ReplicaLog>();
  #connection: ReplicaConnection | undefined;
  #queue: LogEntry[] = [];
  #inFlight = 0;
  /** Rises when the connection is given up: answers of before count no more. */
  #generation = 0;
  #pumping = false;
  #filling = false;
  #failures = 0;
  #callOff: () => void = () => undefined;
  #closed = false;

  constructor(options: ReplicaLinkOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#logs.size;
  }

  /** Nothing could be filled for long. */
  get failing(): boolean {
    return this.#failures >= failuresMax;
  }

  add(log: ReplicaLog): void {
    this.#logs.set(log.slice.range.sliceIndex, log);
    this.wake();
  }

  remove(log: ReplicaLog): void {
    const { sliceIndex } = log.slice.range;
    if (this.#logs.get(sliceIndex) === log) this.#logs.delete(sliceIndex);
  }

  /** Sends an entry behind all before it. */
  send(entry: LogEntry): void {
    this.#queue.push(entry);
    if (this.#queue.length > entriesQueuedMax) this.#lost();
    else this.#pumpSoon();
  }

  /** A slice may need a fill now. */
  wake(): void {
    if (this.#filling || this.#closed) return;
    void this.#fillAll();
  }

  close(): void {
    this.#closed = true;
    this.#callOff();
    this.#connection?.close();
    this.#connection = undefined;
  }

  #connected(): ReplicaConnection {
    this.#connection ??= this.#options.connect(this.#options.address);
    return this.#connection;
  }

  /** With what else is appended at once: the slices of one push. */
  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#inFlight < messagesInFlightMax && this.#queue.length > 0 && !this.#closed) {
      const entries = this.#nextEntries();
      const generation = this.#generation;
      this.#inFlight++;
      this.#connected()
        .send({ fills: [], entries })
        .then(
          (refusals) => {
            if (generation !== this.#generation) return;
            this.#inFlight--;
            this.#answered(entries, refusals);
            this.#pump();
          },
          () => {
            if (generation === this.#generation) this.#lost();
          },
        );
    }
  }

  #nextEntries(): LogEntry[] {
    let bytes = 0;
    let count = 0;
    for (const { payload } of this.#queue) {
      bytes += payload.byteLength;
      if (count > 0 && bytes > limits.payloadBytesMax) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #answered(entries: readonly LogEntry[], refusals: readonly ReplicaRefusal[]): void {
    const refused = new Set(refusals.map(({ sliceIndex }) => sliceIndex));
    for (const entry of entries) {
      if (!refused.has(entry.sliceIndex)) this.#logs.get(entry.sliceIndex)?.acknowledged(entry);
    }
    for (const refusal of refusals) {
      const log = this.#logs.get(refusal.sliceIndex);
      // What it says of a fill that was given up meanwhile is no news.
      if (entries.some((entry) => entry.sliceIndex === refusal.sliceIndex && entry.fill === log?.fill)) {
        this.#refused(refusal);
      }
    }
  }

  #refused({ sliceIndex, code }: ReplicaRefusal): void {
    const log = this.#logs.get(sliceIndex);
    if (log === undefined) return;
    if (code === "fenced") {
      this.#options.onFenced(log);
      return;
    }
    this.#queue = this.#queue.filter((entry) => entry.sliceIndex !== sliceIndex);
    log.failed();
    this.#options.onChange();
    this.wake();
  }

  /** The connection is lost, and with it all that was under way. */
  #lost(): void {
    this.#generation++;
    this.#inFlight = 0;
    this.#queue = [];
    this.#connection?.close();
    this.#connection = undefined;
    for (const log of this.#logs.values()) log.failed();
    this.#options.onChange();
    this.wake();
  }

  /** Fills all that need it, one after the other; after a failure again, after a pause. */
  async #fillAll(): Promise<void> {
    this.#filling = true;
    for (let log = this.#nextToFill(); log !== undefined && !this.#closed; log = this.#nextToFill()) {
      const { generation, failed } = await this.#fill(log);
      if (failed === undefined) {
        this.#failures = 0;
        continue;
      }
      this.#failures++;
      if (generation === this.#generation && failed.connectionLost) this.#lost();
      else log.failed();
      this.#options.onChange();
      await this.#pause();
    }
    this.#filling = false;
  }

  #nextToFill(): ReplicaLog | undefined {
    return [...this.#logs.values()].find(
      (log) => log.state === "waiting" && log.slice.initialized && !log.ended && !log.slice.fenced,
    );
  }

  async #fill(log: ReplicaLog): Promise<{ generation: number; failed?: { connectionLost: boolean } }> {
    const { snapshots, round, forgetPulled } = this.#options;
    const { slice } = log;
    const generation = this.#generation;
    const snapshot = await snapshots
      .take(slice, () => {
        if (log.ended || slice.retired) throw sliceMoved(slice.range.sliceIndex);
        forgetPulled(log);
        return { ...log.beginFill(), round: round(), fill: log.fill };
      })
      .catch(() => undefined);
    if (snapshot === undefined) return { generation, failed: { connectionLost: false } };
    const { fill, ...captured } = snapshot.captured;
    const facts: FillFacts = { ...captured, stepSize: snapshot.stepSize };
    const { sliceIndex } = slice.range;
    const pieces = snapshot.arrays.length;
    for (const [piece, array] of snapshot.arrays.entries()) {
      const data = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      const message = { sliceIndex, term: slice.term, fill, piece, pieces, data };
      let refusals: readonly ReplicaRefusal[];
      try {
        const fills = [{ ...message, facts: piece === 0 ? facts : undefined }];
        refusals = await this.#connected().send({ fills, entries: [] });
      } catch {
        return { generation, failed: { connectionLost: true } };
      }
      if (log.ended || log.fill !== fill || log.state !== "filling") {
        return { generation, failed: { connectionLost: false } };
      }
      const [refusal] = refusals;
      if (refusal?.code === "fenced") this.#options.onFenced(log);
      if (refusal !== undefined) return { generation, failed: { connectionLost: false } };
    }
    log.filled();
    this.#options.onChange();
    return { generation };
  }

  #pause(): Promise<void> {
    const ms = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(this.#failures, 5));
    return new Promise((resolve) => {
      const callOff = this.#options.after(ms, resolve);
      this.#callOff = () => {
        callOff();
        resolve();
      };
    });
  }
}
