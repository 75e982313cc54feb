import { randomBytes } from "node:crypto";
import type { JobEvent, JobSummary } from "@downpour/protocol";
import {
  addHistograms,
  type ControlsView,
  type EpochView,
  epochViewsMax,
  type HistorySnapshot,
  type LedgerView,
  type MemberView,
  RunHistory,
  type RunState,
} from "@downpour/run-history";
import type { CoordinatorCore } from "../coordinator-core.ts";
import type { EventBus } from "../event-bus.ts";
import type { TimedEvent } from "../event-history.ts";
import type { JobCommands } from "../job-commands.ts";
import type { Ledger } from "../ledger.ts";
import { isFinal } from "../lifecycle.ts";
import { isPresent, type Member } from "../membership.ts";
import { progressOf } from "../summary.ts";
import { readEvents } from "./read-events.ts";
import type { Follow, RunSource } from "./run-source.ts";

/** Members that are gone and still listed. */
const goneMax = 100;

export interface LiveSourceOptions {
  readonly core: CoordinatorCore;
  readonly events: EventBus<TimedEvent>;
  readonly commands: JobCommands;
  /** For people and as `?run=`: the name of the run's folder. */
  readonly runId: string;
  /** Events that coordinators of this run wrote down before: so many of the file, which the bus does not have any more. */
  readonly earlier: { readonly file: string; readonly count: number };
  /** A clock that never goes back, in milliseconds. */
  readonly nowMs: () => number;
}

/** The run of this coordinator. */
export class LiveSource implements RunSource {
  readonly info;
  readonly streamId = randomBytes(6).toString("hex");
  readonly commands: JobCommands;
  readonly follow: Follow;
  readonly #options: LiveSourceOptions;
  readonly #history = new RunHistory();
  #startedMs: number | null = null;
  #servers: Extract<JobEvent, { type: "serverMetrics" }> | undefined;
  #summary: JobSummary | null = null;

  private constructor(options: LiveSourceOptions) {
    this.#options = options;
    this.commands = options.commands;
    this.info = { id: options.runId, name: options.runId, live: true };
    this.follow = (listener, subscription) => options.events.subscribe(listener, subscription);
  }

  /** The run from its beginning, also where another coordinator began it. @throws as readEvents */
  static async open(options: LiveSourceOptions): Promise<LiveSource> {
    const source = new LiveSource(options);
    const { file, count } = options.earlier;
    let sequence = 0;
    const takeEarlier = (timeMs: number, event: JobEvent) => source.#take(++sequence, { timeMs, event });
    await readEvents(file, takeEarlier, count);
    options.events.subscribe(({ sequence: at, event }) => source.#take(at, event), { fromSequence: 1 });
    return source;
  }

  history(): HistorySnapshot {
    return this.#history.snapshot();
  }

  state(): RunState {
    const { core, nowMs } = this.#options;
    const now = nowMs();
    const { lifecycle, serverFigures } = core;
    const reason = lifecycle.kind === "failed" ? lifecycle.message : null;
    return {
      streamId: this.streamId,
      sequence: this.#history.sequence,
      name: this.info.name,
      timeMs: Date.now(),
      startedMs: this.#startedMs,
      job: core.job,
      lifecycle: lifecycle.kind,
      reason: "reason" in lifecycle ? lifecycle.reason : reason,
      paused: core.control.paused,
      etaSeconds: progressOf(core, now).etaSeconds,
      members: membersOf(core, now),
      ledger: core.ledger === undefined ? null : ledgerView(core.ledger),
      schedule: {
        ...core.schedule,
        drops: core.schedule.drops.map(({ atEpoch, factor, reason: why }) => ({
          atEpoch,
          factor,
          reason: why,
        })),
        learningRate: core.learningRate(),
      },
      servers: this.#servers?.servers ?? [],
      skew: this.#servers?.skew ?? null,
      skewMax: serverFigures.skewMax,
      stalenessHistogram: addHistograms(serverFigures.latest),
      summary: this.#summary,
      controls: controlsOf(core, this.commands),
    };
  }

  #take(sequence: number, { timeMs, event }: TimedEvent): void {
    this.#history.add(sequence, timeMs, event);
    this.#startedMs ??= timeMs;
    if (event.type === "serverMetrics") this.#servers = event;
    if (event.type === "ended") this.#summary = event.summary;
  }
}

function controlsOf({ control, lifecycle }: CoordinatorCore, { checkpoint }: JobCommands): ControlsView {
  const training = lifecycle.kind === "training";
  const ending = isFinal(lifecycle) || lifecycle.kind === "draining" || lifecycle.kind === "evaluating";
  return {
    pause: !ending && !control.paused,
    resume: control.paused,
    drop: training,
    dropFactor: control.dropFactor,
    drain: training,
    stop: !ending,
    checkpoint: training && checkpoint !== undefined,
  };
}

/** Who is there, and the latest of those who are gone. */
function membersOf(core: CoordinatorCore, nowMs: number): MemberView[] {
  const leased = new Map<string, number>();
  for (const { memberId, batches } of core.ledger?.openLeases() ?? []) {
    leased.set(memberId, (leased.get(memberId) ?? 0) + batches.length);
  }
  const all = core.membership.members();
  const gone = all.filter((member) => !isPresent(member)).slice(-goneMax);
  return [...all.filter(isPresent), ...gone].map((member) => memberView(core, member, leased, nowMs));
}

function memberView(
  core: CoordinatorCore,
  member: Member,
  leased: ReadonlyMap<string, number>,
  nowMs: number,
): MemberView {
  const { memberId, role, name, state, address = null, lastHeardMs } = member;
  const isWorker = role === "worker";
  const figures = isWorker ? core.figures.workers.of(memberId, nowMs) : undefined;
  return {
    memberId,
    role,
    name,
    state,
    address,
    heardSecondsAgo: Math.max(0, Math.round((nowMs - lastHeardMs) / 100) / 10),
    examplesPerSecond: isPresent(member) ? (figures?.examplesPerSecond ?? null) : null,
    examplesCounted: figures?.examplesCounted ?? null,
    batchesLeased: isWorker ? (leased.get(memberId) ?? 0) : null,
  };
}

function ledgerView(ledger: Ledger): LedgerView {
  const { epochs, completedEpochs, ...progress } = ledger.progress();
  const end = Math.min(epochs, completedEpochs + ledger.options.openEpochsMax);
  const latest: EpochView[] = [];
  for (let epoch = Math.max(0, end - epochViewsMax); epoch < end; epoch++) {
    const { batches, applied, refused, skipped } = ledger.epochRecord(epoch);
    const opened = epoch <= completedEpochs || applied + refused + skipped > 0;
    if (opened) latest.push({ epoch, batches, applied, refused, skipped });
  }
  const { batchesPerEpoch, batchesApplied, batchesRefused, batchesSkipped, batchesLeased } = progress;
  const { examplesCounted, examplesUnreadable } = progress;
  return {
    epochs,
    completedEpochs,
    batchesPerEpoch,
    batchesApplied,
    batchesRefused,
    batchesSkipped,
    batchesLeased,
    examplesCounted,
    examplesUnreadable,
    latest,
  };
}
