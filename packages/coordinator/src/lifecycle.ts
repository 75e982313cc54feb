import { assertNever, DownpourError } from "@downpour/errors";

/** Why training ended: all epochs done, a rule of the job, or somebody stopped it. */
export type EndReason = "epochs" | "targetAccuracy" | "earlyStopping" | "stopped";

/**
 * The life of a job; plain data.
 *
 * - `waitingForServers`: parameter servers are missing
 * - `waitingForWorkers`: no worker has put the initial weights on the servers yet
 * - `training`: leases are given
 * - `draining`: no lease is given any more, running ones finish
 * - `evaluating`: the final evaluation, of weights that do not change any more
 * - `finished`, `failed`: final
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> waitingForServers
 *   waitingForServers --> waitingForWorkers: serversReady
 *   waitingForWorkers --> training: initialized
 *   training --> draining: endTraining, stop
 *   draining --> evaluating: drained
 *   evaluating --> finished: evaluated
 *   draining --> training: reopened
 *   evaluating --> training: reopened
 *   waitingForServers --> finished: stop
 *   waitingForWorkers --> finished: stop
 *   waitingForServers --> failed: fail
 *   waitingForWorkers --> failed: fail
 *   training --> failed: fail
 *   draining --> failed: fail
 *   evaluating --> failed: fail
 *   finished --> [*]
 *   failed --> [*]
 * ```
 *
 * `stop` may come at any time: before training there is nothing to evaluate, so the job finishes at once, and
 * after training it changes nothing. Any other move that the diagram lacks is illegal.
 */
export type Lifecycle =
  | { readonly kind: "waitingForServers" }
  | { readonly kind: "waitingForWorkers" }
  | { readonly kind: "training" }
  | { readonly kind: "draining"; readonly reason: EndReason }
  | { readonly kind: "evaluating"; readonly reason: EndReason }
  | { readonly kind: "finished"; readonly reason: EndReason }
  | { readonly kind: "failed"; readonly message: string };

export type LifecycleEvent =
  /** All parameter servers have registered. */
  | { readonly kind: "serversReady" }
  /** The initial weights are on the servers. */
  | { readonly kind: "initialized" }
  /** All epochs are done, or a rule of the job ends it. */
  | { readonly kind: "endTraining"; readonly reason: Exclude<EndReason, "stopped"> }
  /** Somebody ends the job early. */
  | { readonly kind: "stop" }
  /** No lease is open any more. */
  | { readonly kind: "drained" }
  /** Slices went back to a checkpoint, and batches that had been trained are pending again. */
  | { readonly kind: "reopened" }
  /** The final evaluation is reported. */
  | { readonly kind: "evaluated" }
  /** The job cannot go on; the message is for people. */
  | { readonly kind: "fail"; readonly message: string };

/** The state of a job that begins. */
export function initLifecycle(): Lifecycle {
  return { kind: "waitingForServers" };
}

/** Whether the job is over. */
export function isFinal(state: Lifecycle): state is Extract<Lifecycle, { kind: "finished" | "failed" }> {
  return state.kind === "finished" || state.kind === "failed";
}

/**
 * The one place where the state of a job changes.
 * @throws DownpourError failedPrecondition for an illegal move, naming state and event
 */
export function transition(state: Lifecycle, event: LifecycleEvent): Lifecycle {
  if (event.kind === "stop") return stopped(state);
  if (event.kind === "fail" && !isFinal(state)) return { kind: "failed", message: event.message };
  switch (state.kind) {
    case "waitingForServers":
      if (event.kind === "serversReady") return { kind: "waitingForWorkers" };
      return illegal(state, event);
    case "waitingForWorkers":
      if (event.kind === "initialized") return { kind: "training" };
      return illegal(state, event);
    case "training":
      if (event.kind === "endTraining") return { kind: "draining", reason: event.reason };
      return illegal(state, event);
    case "draining":
      if (event.kind === "drained") return { kind: "evaluating", reason: state.reason };
      if (event.kind === "reopened") return { kind: "training" };
      return illegal(state, event);
    case "evaluating":
      if (event.kind === "evaluated") return { kind: "finished", reason: state.reason };
      if (event.kind === "reopened") return { kind: "training" };
      return illegal(state, event);
    case "finished":
    case "failed":
      return illegal(state, event);
    default:
      return assertNever(state, "state of the job");
  }
}

function stopped(state: Lifecycle): Lifecycle {
  switch (state.kind) {
    case "waitingForServers":
    case "waitingForWorkers":
      return { kind: "finished", reason: "stopped" };
    case "training":
      return { kind: "draining", reason: "stopped" };
    case "draining":
    case "evaluating":
    case "finished":
    case "failed":
      return state;
    default:
      return assertNever(state, "state of the job");
  }
}

function illegal(state: Lifecycle, event: LifecycleEvent): never {
  throw new DownpourError("failedPrecondition", `a job that is ${state.kind} cannot take "${event.kind}"`, {
    facts: { state: state.kind, event: event.kind },
  });
}
