import type { JobEvent, JobSummary, Progress, SliceFigures, TimedJobEvent } from "@downpour/protocol";

/** Something that must hold in every run, and did not. */
export interface Violation {
  readonly what: string;
  readonly sequence: number;
}

type ServerMetrics = Extract<JobEvent, { type: "serverMetrics" }>;

/**
 * What the events of a job tell, and whether they tell of anything that must not be: sequences with a gap, epochs that
 * are complete twice without a roll-back between, versions that go back within a term. Pure.
 */
export class ClusterView {
  readonly violations: Violation[] = [];
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
  /** Slices whose replica is in step, where the job has replicas. */
  readonly #inStep = new Map<number, boolean>();

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
        break;
      case "ended":
        this.summary = event.summary;
        break;
      default:
        break;
    }
  }

  /** Every slice has a replica that could take over now. */
  get replicasInStep(): boolean {
    return this.#inStep.size > 0 && [...this.#inStep.values()].every(Boolean);
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
