import { seededRandom } from "@downpour/faults";
import type { JobEvent, Progress, ServerFigures, SliceFigures } from "@downpour/protocol";
import { type MemberView, RecordedRun, type RunState } from "@downpour/run-history";

/** A run without processes, for looking at the page: as many members and steps as one likes, the same for each seed. */
export class SimulatedRun {
  readonly workers: number;
  readonly epochs: number;
  readonly run: RecordedRun;
  readonly streamId = "simulated";
  readonly #listeners = new Set<(sequence: number, timeMs: number, event: JobEvent) => void>();
  readonly #random: () => number;
  readonly #startMs: number;
  readonly #steps: number;
  readonly #histogram = new Array<number>(65).fill(0);
  readonly #dead = new Set<string>();
  #step = 0;
  #rate = 0.1;
  #updates = 0;

  /** @param steps seconds of training: one progress event each */
  constructor(name: string, options: { workers: number; steps: number; seed: number; startMs: number }) {
    this.workers = options.workers;
    this.epochs = 20;
    this.run = new RecordedRun(name, this.streamId, { name, seed: options.seed, model: { name: "lenet5" } });
    this.#random = seededRandom(options.seed);
    this.#startMs = options.startMs;
    this.#steps = options.steps;
    for (const server of ["server-1", "server-2"]) {
      this.#emit({ type: "memberJoined", memberId: server, role: "server", name: "10.0.0.1:7071" });
    }
    this.#emit({ type: "memberJoined", memberId: "evaluator-1", role: "evaluator", name: "node1:99" });
    for (let i = 1; i <= this.workers; i++) {
      this.#emit({
        type: "memberJoined",
        memberId: `worker-${i}`,
        role: "worker",
        name: `node${i}:${1000 + i}`,
      });
    }
    this.#emit({ type: "stateChanged", state: "training", reason: null });
  }

  get done(): boolean {
    return this.#step >= this.#steps;
  }

  onEvent(listener: (sequence: number, timeMs: number, event: JobEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A second passes. */
  advance(): void {
    this.#step += 1;
    const share = this.#step / this.#steps;
    const epoch = this.epochs * share;
    this.#emit(this.#progress(epoch));
    if (this.#step % 2 === 0) this.#emitWorkers();
    if (this.#step % 5 === 0) this.#emitServers();
    const perEpoch = Math.max(1, Math.floor(this.#steps / this.epochs));
    if (this.#step % perEpoch === 0) this.#emitEpoch(Math.round(epoch));
    if (this.#step === Math.floor(0.55 * this.#steps)) this.drop(0.1);
    if (this.#step === Math.floor(0.35 * this.#steps)) this.kill("worker-2");
  }

  drop(factor: number): void {
    this.#rate *= factor;
    const epoch = (this.epochs * this.#step) / this.#steps;
    const facts = {
      factor,
      learningRate: this.#rate,
      revision: 2,
      reason: "plateau",
      divergence: null,
    } as const;
    this.#emit({ type: "learningRateDropped", epoch, ...facts });
  }

  kill(memberId: string): void {
    this.#dead.add(memberId);
    this.#emit({ type: "memberLeft", memberId, role: "worker", how: "dead", batchesReturned: 5 });
  }

  /** The state as a coordinator would tell it. @param checkpoint whether it writes checkpoints */
  state(checkpoint = true): RunState {
    const state = this.run.state();
    const members = state.members.map((member): MemberView => {
      const present = member.state === "active";
      const worker = member.role === "worker";
      return {
        ...member,
        heardSecondsAgo: present ? 0.4 : 37,
        examplesCounted: worker ? 50 * this.#step : null,
        batchesLeased: worker && present ? 4 : worker ? 0 : null,
      };
    });
    const controls = {
      pause: true,
      resume: false,
      drop: true,
      dropFactor: 0.1,
      drain: true,
      stop: true,
      checkpoint,
    };
    return { ...state, members, controls, reason: null };
  }

  #progress(epoch: number): { readonly type: "progress" } & Progress {
    const noise = 0.06 * (this.#random() - 0.5);
    const present = this.workers - this.#dead.size;
    return {
      type: "progress",
      epoch,
      epochs: this.epochs,
      examplesCounted: Math.round(60_000 * epoch),
      examplesPerSecond: 520 * present * (1 + noise),
      loss: this.#loss(epoch) * (1 + 3 * noise),
      validationLoss: null,
      validationAccuracy: null,
      learningRate: this.#rate,
      stalenessMean: present - 1 + noise,
      stalenessMax: 2 * present,
      workers: present,
      refusedBatches: 0,
      etaSeconds: this.#steps - this.#step,
    };
  }

  #loss(epoch: number): number {
    const dropped = this.#rate < 0.05 ? 0.45 : 1;
    return dropped * (0.08 + 2.2 * Math.exp(-epoch / 1.7) + 0.05 * this.#random());
  }

  #emitWorkers(): void {
    const rates: Record<string, number> = {};
    for (let i = 1; i <= this.workers; i++) {
      const id = `worker-${i}`;
      if (!this.#dead.has(id)) rates[id] = (440 + ((37 * i) % 160)) * (0.95 + 0.1 * this.#random());
    }
    this.#emit({ type: "workerMetrics", examplesPerSecond: rates });
  }

  #emitServers(): void {
    const present = this.workers - this.#dead.size;
    const buckets = Math.min(60, 2 * present);
    for (let tau = 0; tau <= buckets; tau++) {
      const weight = Math.exp(-((tau - present + 1) ** 2) / (2 * (0.35 * present + 0.4) ** 2));
      this.#histogram[tau] =
        (this.#histogram[tau] ?? 0) + Math.round(500 * weight * (0.7 + 0.6 * this.#random()));
    }
    this.#updates += 40;
    const skew = Math.round(3 + 4 * this.#random());
    this.#emit({
      type: "serverMetrics",
      final: false,
      skew,
      servers: [this.#server(1, skew), this.#server(2, skew)],
    });
  }

  #server(index: number, skew: number): ServerFigures & { slices: SliceFigures[] } {
    const slices = Array.from({ length: 12 }, (_, i) => ({
      sliceIndex: 12 * (index - 1) + i,
      length: 65_536,
      term: 1,
      count: this.#updates - Math.round(skew * this.#random()),
      gradientsApplied: this.#updates,
      applyMsTotal: 0.2 * this.#updates,
      applyMsMax: 3,
      pulledVersionsKept: 0,
    }));
    return {
      memberId: `server-${index}`,
      address: `10.0.0.${index}:7071`,
      updates: 12 * this.#updates,
      duplicates: 3 * index,
      refused: {},
      stalenessHistogram: [...this.#histogram],
      applyMsTotal: 2.4 * this.#updates,
      applyMsMax: 3,
      applyThreads: 1,
      pushesQueued: 1,
      pushesQueuedMax: 6,
      pullsGated: 0,
      gradientBytesReceived: 1e9,
      weightBytesSent: 2e9,
      memoryBytes: 90_000_000 * index,
      encodingsMade: 1,
      encodingsShared: 1,
      compensationsMissed: 0,
      slices,
    };
  }

  #emitEpoch(epoch: number): void {
    const [batches, refused] = [938, epoch === 3 ? 4 : 0];
    const examplesApplied = 60_000;
    this.#emit({
      type: "epochCompleted",
      epoch: epoch - 1,
      batches,
      applied: batches - refused,
      refused,
      skipped: 0,
      examplesApplied,
    });
    const loss = 1.1 * this.#loss(epoch);
    this.#emit({
      type: "evaluated",
      epoch,
      loss,
      accuracy: 0.995 - loss / 4,
      best: true,
      countsForPlateau: true,
    });
    // As a coordinator that writes checkpoints would say.
    if (epoch % 5 === 0) this.#emit({ type: "checkpointWritten", epoch } as unknown as JobEvent);
  }

  #emit(event: JobEvent): void {
    const timeMs = this.#startMs + 1000 * this.#step;
    this.run.add(timeMs, event);
    for (const listener of this.#listeners) listener(this.run.history.sequence, timeMs, event);
  }
}
