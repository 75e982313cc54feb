import type { JobEvent, ServerFigures } from "@downpour/protocol";
import { BucketTable, type TableSnapshot } from "./bucket-table.ts";
import { eventLine, type LogLine } from "./event-line.ts";
import { KeyMatrix, type MatrixSnapshot } from "./key-matrix.ts";
import { boundMarks, type Mark, markKindOf } from "./marks.ts";

/* How much is kept of a run, however long it is. */
export const historyBounds = {
  /** Buckets of the training figures, of validations and of skew. */
  bucketsMax: 2000,
  /** Buckets in time of the figures per worker and of staleness. */
  matrixBucketsMax: 240,
  workersMax: 256,
  stalenessKeysMax: 256,
  marksMax: 1000,
  logLinesMax: 500,
} as const;

const progressColumns = [
  "timeMs",
  "epoch",
  "examplesCounted",
  "loss",
  "examplesPerSecond",
  "learningRate",
  "stalenessMean",
  "stalenessMax",
  "workers",
] as const;
const evaluationColumns = ["timeMs", "epoch", "loss", "accuracy"] as const;
const skewColumns = ["timeMs", "epoch", "skew"] as const;

/** A line of the log with its place. */
export interface TimedLogLine extends LogLine {
  readonly sequence: number;
  readonly timeMs: number;
}

/** A history as plain data for JSON. */
export interface HistorySnapshot {
  /** Sequence of the last event that is in it; 0 for none. */
  readonly sequence: number;
  readonly epoch: number;
  readonly progress: TableSnapshot;
  readonly evaluations: TableSnapshot;
  readonly skew: TableSnapshot;
  readonly workers: MatrixSnapshot;
  readonly staleness: MatrixSnapshot;
  readonly marks: readonly Mark[];
  readonly log: readonly TimedLogLine[];
  /** Updates by staleness, as every server said last. */
  readonly serverHistograms: Readonly<Record<string, readonly number[]>>;
}

/**
 * What a job's events say over time, in bounded memory. Events come in their order, each once. Those of a coordinator
 * before this one have negative sequences: they can't be asked for again.
 */
export class RunHistory {
  progress = new BucketTable(progressColumns, historyBounds.bucketsMax);
  evaluations = new BucketTable(evaluationColumns, historyBounds.bucketsMax);
  skew = new BucketTable(skewColumns, historyBounds.bucketsMax);
  /** Examples per second by worker. */
  workers = new KeyMatrix(historyBounds.matrixBucketsMax, historyBounds.workersMax);
  /** Updates of slices by staleness. */
  staleness = new KeyMatrix(historyBounds.matrixBucketsMax, historyBounds.stalenessKeysMax);
  readonly marks: Mark[] = [];
  readonly log: TimedLogLine[] = [];
  #sequence = 0;
  #epoch = 0;
  #serverHistograms: Record<string, readonly number[]> = {};

  static restore(snapshot: HistorySnapshot): RunHistory {
    const { bucketsMax, matrixBucketsMax, workersMax, stalenessKeysMax } = historyBounds;
    const history = new RunHistory();
    history.progress = BucketTable.restore(progressColumns, bucketsMax, snapshot.progress);
    history.evaluations = BucketTable.restore(evaluationColumns, bucketsMax, snapshot.evaluations);
    history.skew = BucketTable.restore(skewColumns, bucketsMax, snapshot.skew);
    history.workers = KeyMatrix.restore(matrixBucketsMax, workersMax, snapshot.workers);
    history.staleness = KeyMatrix.restore(matrixBucketsMax, stalenessKeysMax, snapshot.staleness);
    history.marks.push(...snapshot.marks);
    history.log.push(...snapshot.log);
    history.#sequence = snapshot.sequence;
    history.#epoch = snapshot.epoch;
    history.#serverHistograms = { ...snapshot.serverHistograms };
    return history;
  }

  /** Sequence of the last event that was added; 0 before. */
  get sequence(): number {
    return this.#sequence;
  }

  add(sequence: number, timeMs: number, event: JobEvent): void {
    this.#sequence = Math.max(0, sequence);
    if (
      "epoch" in event &&
      event.type !== "epochCompleted" &&
      event.type !== "batchRefused" &&
      event.type !== "leaseExpired"
    ) {
      this.#epoch = Math.max(this.#epoch, event.epoch);
    }
    this.#addFigures(timeMs, event);
    const line = eventLine(event);
    if (line === undefined) return;
    this.log.push({ sequence, timeMs, ...line });
    if (this.log.length > historyBounds.logLinesMax) this.log.shift();
    const kind = markKindOf(event);
    if (kind === undefined) return;
    this.marks.push({ sequence, timeMs, epoch: this.#epoch, kind, text: line.text });
    boundMarks(this.marks, historyBounds.marksMax);
  }

  snapshot(): HistorySnapshot {
    return {
      sequence: this.#sequence,
      epoch: this.#epoch,
      progress: this.progress.snapshot(),
      evaluations: this.evaluations.snapshot(),
      skew: this.skew.snapshot(),
      workers: this.workers.snapshot(),
      staleness: this.staleness.snapshot(),
      marks: [...this.marks],
      log: [...this.log],
      serverHistograms: this.#serverHistograms,
    };
  }

  #addFigures(timeMs: number, event: JobEvent): void {
    switch (event.type) {
      case "progress":
        this.progress.add({ timeMs, ...event });
        return;
      case "evaluated":
        this.evaluations.add({ timeMs, epoch: event.epoch, loss: event.loss, accuracy: event.accuracy });
        return;
      case "workerMetrics":
        this.workers.add(timeMs, this.#epoch, event.examplesPerSecond);
        return;
      case "serverMetrics":
        this.skew.add({ timeMs, epoch: this.#epoch, skew: event.skew });
        this.#addStaleness(timeMs, event.servers);
        return;
      default:
    }
  }

  /** Servers count from their start; what is new since they said so last is the figure of this moment. */
  #addStaleness(timeMs: number, servers: readonly ServerFigures[]): void {
    const fresh: Record<string, number> = {};
    for (const { memberId, stalenessHistogram } of servers) {
      const before = this.#serverHistograms[memberId] ?? [];
      for (const [tau, count] of stalenessHistogram.entries()) {
        const added = count - (before[tau] ?? 0);
        if (added > 0) fresh[tau] = (fresh[tau] ?? 0) + added;
      }
      this.#serverHistograms[memberId] = stalenessHistogram;
    }
    if (Object.keys(fresh).length > 0) this.staleness.add(timeMs, this.#epoch, fresh);
  }
}
