import type { JobEvent, JobSummary } from "@downpour/protocol";
import { RunHistory } from "./run-history.ts";
import {
  addHistograms,
  epochViewsMax,
  type MemberView,
  type RunState,
  type ServerView,
} from "./run-state.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type Progress = Extract<JobEvent, { type: "progress" }>;
type Choice = Extract<JobEvent, { type: "asynchronyChosen" }>;
type Drop = Extract<JobEvent, { type: "learningRateDropped" }>;
type EpochCompleted = Extract<JobEvent, { type: "epochCompleted" }>;

/** Members that are remembered. */
const membersMax = 5000;

/** A run as its recorded events tell it: state and history of one that nobody can be asked about any more. */
export class RecordedRun {
  readonly history = new RunHistory();
  readonly #name: string;
  readonly #streamId: string;
  readonly #job: unknown;
  readonly #members = new Map<string, Writable<MemberView>>();
  readonly #epochs: EpochCompleted[] = [];
  readonly #drops: Drop[] = [];
  #completedEpochs = 0;
  #lifecycle = "waitingForServers";
  #reason: string | null = null;
  #paused = false;
  #startedMs: number | null = null;
  #lastMs = 0;
  #progress: Progress | undefined;
  #choice: Choice | undefined;
  #servers: readonly ServerView[] = [];
  #skew: number | null = null;
  #skewMax: number | null = null;
  #summary: JobSummary | null = null;

  /** @param streamId differs for every reading of a run */
  constructor(name: string, streamId: string, job: unknown) {
    this.#name = name;
    this.#streamId = streamId;
    this.#job = job;
  }

  /** Takes in the next event. */
  add(timeMs: number, event: JobEvent): void {
    this.history.add(this.history.sequence + 1, timeMs, event);
    this.#lastMs = timeMs;
    this.#startedMs ??= timeMs;
    switch (event.type) {
      case "stateChanged":
        this.#lifecycle = event.state;
        this.#reason = event.reason;
        return;
      case "memberJoined":
        this.#join(event);
        return;
      case "memberDraining":
        this.#setState(event.memberId, "draining");
        return;
      case "memberLeft":
        this.#setState(event.memberId, event.how);
        return;
      case "workerMetrics":
        for (const [memberId, rate] of Object.entries(event.examplesPerSecond)) {
          const member = this.#members.get(memberId);
          if (member !== undefined) member.examplesPerSecond = rate;
        }
        return;
      case "progress":
        this.#progress = event;
        return;
      case "asynchronyChosen":
        this.#choice = event;
        return;
      case "learningRateDropped":
        this.#drops.push(event);
        return;
      case "epochCompleted":
        this.#completedEpochs += 1;
        this.#epochs.push(event);
        if (this.#epochs.length > epochViewsMax) this.#epochs.shift();
        return;
      case "serverMetrics":
        this.#servers = event.servers;
        this.#skew = event.skew;
        this.#skewMax = Math.max(this.#skewMax ?? 0, event.skew);
        return;
      case "paused":
      case "resumed":
        this.#paused = event.type === "paused";
        return;
      case "ended":
        this.#summary = event.summary;
        this.#reason = event.summary.message ?? event.summary.reason;
        return;
      default:
    }
  }

  state(): RunState {
    const summary = this.#summary;
    return {
      streamId: this.#streamId,
      sequence: this.history.sequence,
      name: this.#name,
      timeMs: this.#lastMs,
      startedMs: this.#startedMs,
      job: this.#job,
      lifecycle: this.#lifecycle,
      reason: this.#reason,
      paused: this.#paused && summary === null,
      etaSeconds: summary === null ? (this.#progress?.etaSeconds ?? null) : 0,
      members: [...this.#members.values()].map((member) => ({ ...member })),
      ledger: this.#ledger(),
      schedule: this.#schedule(),
      servers: this.#servers,
      skew: this.#skew,
      skewMax: summary?.skewMax ?? this.#skewMax,
      stalenessHistogram: addHistograms(this.#servers),
      summary,
      controls: null,
    };
  }

  #join({ memberId, role, name }: Extract<JobEvent, { type: "memberJoined" }>): void {
    const [oldest] = this.#members.keys();
    if (this.#members.size >= membersMax && oldest !== undefined) this.#members.delete(oldest);
    this.#members.set(memberId, {
      memberId,
      role,
      name,
      state: "active",
      address: role === "server" ? name : null,
      heardSecondsAgo: null,
      examplesPerSecond: null,
      examplesCounted: null,
      batchesLeased: null,
    });
  }

  #setState(memberId: string, state: MemberView["state"]): void {
    const member = this.#members.get(memberId);
    if (member === undefined) return;
    member.state = state;
    if (state !== "draining") member.examplesPerSecond = null;
  }

  #ledger(): RunState["ledger"] {
    const { epochs, examplesCounted, refusedBatches } = { ...this.#progress };
    const last = this.#epochs.at(-1);
    if (epochs === undefined && last === undefined) return null;
    const summary = this.#summary;
    const batchesPerEpoch = last?.batches ?? 0;
    const passed = Math.round((this.#progress?.epoch ?? 0) * batchesPerEpoch);
    return {
      epochs: epochs ?? this.#completedEpochs,
      completedEpochs: summary?.epochsCompleted ?? this.#completedEpochs,
      batchesPerEpoch,
      batchesApplied: summary?.batchesApplied ?? Math.max(0, passed - (refusedBatches ?? 0)),
      batchesRefused: summary?.batchesRefused ?? refusedBatches ?? 0,
      batchesSkipped: summary?.batchesSkipped ?? 0,
      batchesLeased: 0,
      examplesCounted: summary?.examplesCounted ?? examplesCounted ?? 0,
      examplesUnreadable: summary?.unreadableExamples ?? 0,
      latest: this.#epochs.map(({ epoch, batches, applied, refused, skipped }) => ({
        epoch,
        batches,
        applied,
        refused,
        skipped,
      })),
    };
  }

  #schedule(): RunState["schedule"] {
    if (this.#progress === undefined && this.#choice === undefined) return null;
    const latest = this.#drops.at(-1);
    return {
      revision: Math.max(this.#choice?.revision ?? 1, latest?.revision ?? 1),
      learningRate: this.#progress?.learningRate ?? 0,
      dropFactor: this.#drops.reduce((product, { factor }) => product * factor, 1),
      rateFactor: this.#summary?.rateFactor ?? this.#choice?.rateFactor ?? 1,
      momentum: this.#summary?.momentum ?? this.#choice?.momentum ?? 0,
      drops: this.#drops.map(({ epoch, factor, reason }) => ({ atEpoch: epoch, factor, reason })),
    };
  }
}
