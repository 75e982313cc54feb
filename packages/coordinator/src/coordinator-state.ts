import { DownpourError } from "@downpour/errors";
import type { AsynchronySnapshot } from "./asynchrony-control.ts";
import type { DataFacts } from "./cluster-layout.ts";
import type { ControlSnapshot, JobControl } from "./control.ts";
import type { EvaluationsSnapshot } from "./evaluations.ts";
import type { LedgerSnapshot } from "./ledger-types.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { MembershipSnapshot } from "./membership.ts";
import type { FinalResult } from "./messages.ts";
import type { ServerControl, ServersSnapshot } from "./server-control.ts";
import type { CoordinatorView } from "./summary.ts";
import type { TrainingTotals } from "./training-figures.ts";

/** How far training is, apart from ledger and members: what another run can go on from, too. */
export interface TrainingState {
  readonly asynchrony: AsynchronySnapshot;
  readonly evaluations: EvaluationsSnapshot;
  readonly figures: TrainingTotals;
  /** Time since training began, until it ended; null before it. */
  readonly trainingMs: number | null;
}

/** All that a coordinator knows, as plain data for JSON, except for job and parameter manifest, which never change. */
export interface CoordinatorState extends TrainingState {
  readonly format: 1;
  /** Generation of the coordinator that wrote it. */
  readonly coordinatorEpoch: number;
  readonly lifecycle: Lifecycle;
  readonly membership: MembershipSnapshot;
  readonly servers: ServersSnapshot;
  readonly ledger: LedgerSnapshot | null;
  readonly trainingEnded: boolean;
  readonly control: ControlSnapshot;
  readonly roundsClosed: boolean;
  readonly result: FinalResult | null;
}

/** What a run goes on from that begins with a checkpoint of another. */
export interface ResumedTraining {
  readonly data: DataFacts;
  readonly ledger: LedgerSnapshot;
  readonly training: TrainingState;
}

/** @throws corruptData: another format */
export function parseState(text: string): CoordinatorState {
  const state = JSON.parse(text) as CoordinatorState;
  if (state.format !== 1) {
    throw new DownpourError(
      "corruptData",
      `the stored state has format ${state.format}; this version of Downpour reads 1`,
    );
  }
  return state;
}

/** What a state is made of. */
interface StateView extends CoordinatorView {
  readonly control: JobControl;
  readonly servers: ServerControl;
}

export function stateOf(
  view: StateView,
  about: { readonly coordinatorEpoch: number; readonly roundsClosed: boolean; readonly nowMs: number },
): CoordinatorState {
  return {
    format: 1,
    coordinatorEpoch: about.coordinatorEpoch,
    lifecycle: view.lifecycle,
    membership: view.membership.snapshot(),
    servers: view.servers.snapshot(),
    ledger: view.ledger?.snapshot() ?? null,
    ...trainingStateOf(view, about.nowMs),
    control: view.control.snapshot(),
    trainingEnded: view.trainingEndMs !== undefined,
    roundsClosed: about.roundsClosed,
    result: view.result ?? null,
  };
}

export function trainingStateOf(view: CoordinatorView, nowMs: number): TrainingState {
  const { trainingStartMs: startMs, trainingEndMs: endMs } = view;
  return {
    asynchrony: view.asynchrony.snapshot(),
    evaluations: view.evaluations.snapshot(),
    figures: view.figures.snapshot(),
    trainingMs: startMs === undefined ? null : (endMs ?? nowMs) - startMs,
  };
}
