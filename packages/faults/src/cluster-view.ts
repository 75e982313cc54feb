import type { JobEvent, JobSummary, Progress, SliceFigures, TimedJobEvent } from "@downpour/protocol";

/** Something that must hold in every run, and did not. */
export interface Violation {
  readonly what: string;
  readonly sequence: number;
}

type ServerMetrics = Extract<JobEvent, { type: "serverMetrics" }>;

/** Somebody waits for training to go on after something went wrong. */
interface Waiting {
  readonly sinceMs: number;
  /** Examples counted soon after it; undefined until it is known. */
  baseline: number | undefined;
  readonly onTrained: (timeMs: number) => void;
}

/** Reports of batches that had ended before it may come in for so long. */
const reportsMs = 500;

/** A server that was harmed and not given up after so long is as good as before. */
const sparedMs = 20_000;

/**
 * What the events of a job tell, and whether they tell of anything that must not be: sequences with a gap, epochs that
 * are complete twice without a roll-back between or have another number of examples, versions that go back. Pure.
 */
export class ClusterView {
  readonly violations: Violation[] = [];
  /** Examples of complete epochs, in the order of their completion. */
  readonly epochs: { readonly epoch: number; readonly examples: number; readonly expected: number }[] = [];
  progress: Progress | undefined;
  summary: JobSummary | undefined;
  state = "";
  /** Latest figures of the servers. */
  metrics: ServerMetrics | undefined;
  /** Sequence of the last event, and when it was made. */
  sequence = 0;
  timeMs = 0;
  readonly counts = new Map<JobEvent["type"], number>();
  readonly #versions = new Map<number, Pick<SliceFigures, "term" | "count">>();
  readonly #completedEpochs = new Set<number>();
  readonly #examplesPerEpoch: number;
  readonly #now: () => number;
  #waiting: Waiting[] = [];
  readonly #replicated: boolean;
  #secured = false;
  #harmedMs = Number.NEGATIVE_INFINITY;

  /**
   * @param now milliseconds since 1970
   * @param replicated whether slices have replicas
   */
  constructor(examplesPerEpoch: number, now: () => number = Date.now, replicated = true) {
    this.#examplesPerEpoch = examplesPerEpoch;
    this.#now = now;
    this.#replicated = replicated;
  }

  observe({ sequence, timeMs, event }: TimedJobEvent): void {
    if (sequence !== this.sequence + 1) {
      this.#violated(sequence, `event ${sequence} came after event ${this.sequence}`);
    }
    this.sequence = sequence;
    this.timeMs = timeMs;
    this.counts.set(event.type, (this.counts.get(event.type) ?? 0) + 1);
    switch (event.type) {
      case "progress":
        this.progress = event;
        this.#tellWaiting(timeMs, event.examplesCounted);
        break;
      case "stateChanged":
        this.state = event.state;
        break;
      case "serverMetrics":
        this.metrics = event;
        for (const { slices } of event.servers) for (const slice of slices) this.#compare(sequence, slice);
        break;
      case "epochCompleted":
        if (this.#completedEpochs.has(event.epoch)) {
          this.#violated(sequence, `epoch ${event.epoch} was completed twice`);
        }
        this.#completedEpochs.add(event.epoch);
        this.epochs.push({
          epoch: event.epoch,
          examples: event.examplesApplied,
          expected: this.#examplesPerEpoch,
        });
        break;
      case "slicesRestored":
        // What they lack is trained again.
        this.#completedEpochs.clear();
        break;
      case "serverLost":
      case "replicaLost":
        this.#secured = false;
        this.#harmedMs = Number.NEGATIVE_INFINITY;
        break;
      case "replicasInStep":
        this.#secured = true;
        break;
      case "checkpointed":
        // It has every slice: all are on servers again.
        if (!this.#replicated) this.#secured = true;
        break;
      case "ended":
        this.summary = event.summary;
        break;
      default:
        break;
    }
  }

  /** Every slice has a replica that could take over now; without replicas, all slices are in a checkpoint since the last loss. */
  get serverMayDie(): boolean {
    return this.#secured && this.#now() - this.#harmedMs > sparedMs;
  }

  /** Something is done to a server: the coordinator will tell, in a while, if it is lost. */
  serverHarmed(): void {
    this.#harmedMs = this.#now();
  }

  /** Calls back when batches are counted that ended after a moment, with the time of the event that says so. */
  onceTrainedAfter(sinceMs: number, onTrained: (timeMs: number) => void): void {
    this.#waiting.push({ sinceMs, baseline: undefined, onTrained });
  }

  #tellWaiting(timeMs: number, examples: number): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      if (timeMs < waiting.sinceMs + reportsMs) return true;
      waiting.baseline ??= examples;
      if (examples <= waiting.baseline) return true;
      waiting.onTrained(timeMs);
      return false;
    });
  }

  #compare(sequence: number, { sliceIndex, term, count }: SliceFigures): void {
    const before = this.#versions.get(sliceIndex);
    if (before !== undefined && (term < before.term || (term === before.term && count < before.count))) {
      const was = `term ${before.term}, count ${before.count}`;
      this.#violated(sequence, `slice ${sliceIndex} went back from ${was} to term ${term}, count ${count}`);
    }
    this.#versions.set(sliceIndex, { term, count });
  }

  #violated(sequence: number, what: string): void {
    this.violations.push({ sequence, what });
  }
}
