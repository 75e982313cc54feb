import { join } from "node:path";
import type { JobEvent } from "@downpour/protocol";
import { EventFile, scalar } from "./event-file.ts";
import type { SummaryValue } from "./event-messages.ts";
import { histogramOfCounts } from "./histogram.ts";

/** Folder of the event files inside a run directory, and the curves in it. */
export const boardFolder = "tensorboard";
export const boardRuns = { train: "train", validation: "validation", evaluator: "evaluator" } as const;

/** What {@link JobBoard} needs to know of its job. */
export interface JobBoardOptions {
  readonly runDirectory: string;
  /** Undefined before the first member has joined. */
  readonly batchesPerEpoch: () => number | undefined;
  /** Told once, when a file can't be written; nothing is written afterwards. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * Writes a job's events for TensorBoard: training figures into `tensorboard/train`, validation into
 * `tensorboard/validation`, so that loss is one chart with two curves. The step is the number of batches trained on.
 */
export class JobBoard {
  readonly #options: JobBoardOptions;
  readonly #files = new Map<string, EventFile>();
  #epoch = 0;
  /** Counts of updates by staleness that were written already. */
  #staleness: readonly number[] = [];
  #failed = false;

  constructor(options: JobBoardOptions) {
    this.#options = options;
  }

  /** Takes an event of the job. Never throws. */
  take(timeMs: number, event: JobEvent): void {
    if (this.#failed) return;
    if ("epoch" in event && event.type === "progress") this.#epoch = event.epoch;
    try {
      for (const [run, values] of this.#valuesOf(event)) {
        const step = this.#stepAt(event.type === "evaluated" ? event.epoch : this.#epoch);
        if (values.length > 0) this.#file(run, timeMs).add(step, values, timeMs);
      }
    } catch (error) {
      this.#failed = true;
      this.#options.onFailure(error);
    }
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }

  #valuesOf(event: JobEvent): [run: string, values: SummaryValue[]][] {
    switch (event.type) {
      case "progress": {
        // Before the first batch there is nothing to draw.
        if (event.loss === null) return [];
        const figures = {
          loss: event.loss,
          learning_rate: event.learningRate,
          examples_per_second: event.examplesPerSecond,
          "staleness/mean": event.stalenessMean,
          "staleness/max": event.stalenessMax,
          workers: event.workers,
          refused_batches: event.refusedBatches,
        };
        return [[boardRuns.train, Object.entries(figures).map(([tag, value]) => scalar(tag, value))]];
      }
      case "evaluated": {
        const loss = event.loss === null ? [] : [scalar("loss", event.loss)];
        return [[boardRuns.validation, [...loss, scalar("accuracy", event.accuracy)]]];
      }
      case "learningRateDropped":
        return [[boardRuns.train, [scalar("learning_rate", event.learningRate)]]];
      case "serverMetrics":
        return [[boardRuns.train, this.#newStaleness(event.servers)]];
      default:
        return [];
    }
  }

  /** The staleness of the updates since the last time. */
  #newStaleness(servers: readonly { readonly stalenessHistogram: readonly number[] }[]): SummaryValue[] {
    const length = Math.max(0, ...servers.map(({ stalenessHistogram }) => stalenessHistogram.length));
    const counts = Array.from({ length }, (_, i) =>
      servers.reduce((sum, { stalenessHistogram }) => sum + (stalenessHistogram[i] ?? 0), 0),
    );
    const before = this.#staleness;
    this.#staleness = counts;
    // A server that was started anew counts anew.
    const isAnew = counts.some((count, i) => count < (before[i] ?? 0));
    const histo = histogramOfCounts(isAnew ? counts : counts.map((count, i) => count - (before[i] ?? 0)));
    return histo === undefined ? [] : [{ tag: "staleness", histo }];
  }

  #stepAt(epoch: number): number {
    return Math.round(epoch * (this.#options.batchesPerEpoch() ?? 0));
  }

  #file(run: string, nowMs: number): EventFile {
    const known = this.#files.get(run);
    if (known !== undefined) return known;
    const made = new EventFile(join(this.#options.runDirectory, boardFolder, run), nowMs);
    this.#files.set(run, made);
    return made;
  }
}
