import { pick } from "./random.ts";

/** One thing that goes wrong. */
export type Fault =
  /** SIGKILL; an orchestrator starts the role again. */
  | { readonly kind: "kill"; readonly role: string }
  /** SIGTERM: the role drains and leaves; it is started again. */
  | { readonly kind: "terminate"; readonly role: string }
  /** SIGSTOP, and SIGCONT later. */
  | { readonly kind: "suspend"; readonly role: string; readonly ms: number }
  /** A worker does not reach the coordinators for a while. */
  | { readonly kind: "partition"; readonly role: string; readonly ms: number }
  /** Its way to them is slow and loses data for a while. */
  | { readonly kind: "slow"; readonly role: string; readonly ms: number }
  /** A node of the coordinators' store dies, and comes back. */
  | { readonly kind: "killStore"; readonly node: number };

/** What may be done to now. */
export interface FaultTargets {
  readonly workers: readonly string[];
  readonly evaluators: readonly string[];
  /** Empty while a server may not die: replicas are not in step. */
  readonly servers: readonly string[];
  readonly coordinators: readonly string[];
  /** Empty while a node may not die. */
  readonly storeNodes: readonly number[];
}

const suspendMs = [2000, 12_000] as const;
const partitionMs = [2000, 15_000] as const;

/** The next fault; undefined when nothing is there to be harmed. All of it follows from the random numbers. */
export function nextFault(random: () => number, targets: FaultTargets): Fault | undefined {
  const between = ([low, high]: readonly [number, number]) => Math.round(low + random() * (high - low));
  const choices: [() => Fault, number][] = [];
  const offer = <T>(from: readonly T[], weight: number, make: (one: T) => Fault) => {
    const one = from[Math.floor(random() * from.length)];
    if (one !== undefined) choices.push([() => make(one), weight]);
  };
  offer(targets.servers, 4, (role) => ({ kind: "kill", role }));
  offer(targets.servers, 1, (role) => ({ kind: "suspend", role, ms: between(suspendMs) }));
  offer(targets.coordinators, 3, (role) => ({ kind: "kill", role }));
  offer(targets.coordinators, 1, (role) => ({ kind: "suspend", role, ms: between(suspendMs) }));
  offer(targets.workers, 3, (role) => ({ kind: "kill", role }));
  offer(targets.workers, 1, (role) => ({ kind: "terminate", role }));
  offer(targets.workers, 2, (role) => ({ kind: "suspend", role, ms: between(suspendMs) }));
  offer(targets.workers, 2, (role) => ({ kind: "partition", role, ms: between(partitionMs) }));
  offer(targets.workers, 1, (role) => ({ kind: "slow", role, ms: between(partitionMs) }));
  offer(targets.evaluators, 1, (role) => ({ kind: "kill", role }));
  offer(targets.storeNodes, 1, (node) => ({ kind: "killStore", node }));
  return pick(random, choices)?.();
}

export function faultText(fault: Fault): string {
  if (fault.kind === "killStore") return `kill node ${fault.node} of the store`;
  const ms = "ms" in fault ? ` for ${fault.ms} ms` : "";
  return `${fault.kind} ${fault.role}${ms}`;
}
