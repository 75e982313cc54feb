import type { ClusterLayout, PlacedSlice } from "./cluster-layout.ts";

/*
 * What can happen to a layout, as pure functions: each takes a layout and returns the one that follows, the same object
 * where nothing changes. Slots are the indices of servers.
 */

/** A layout after a server was lost, and what became of its slices, in numbers. */
export interface ServerLoss {
  readonly layout: ClusterLayout;
  readonly promoted: number;
  readonly lost: number;
  readonly replicasLost: number;
}

/**
 * The server of a slot is gone, and all that it had. Its slices with a replica in step go on there, under a new term; the
 * others are lost. Before there are weights nothing is: whoever comes into the slot waits for them, under a new term.
 *
 * @param live by slot: whether there is a server, the lost one not among them
 * @param weights whether the slices have weights
 */
export function loseServer(
  layout: ClusterLayout,
  serverIndex: number,
  live: readonly boolean[],
  weights: boolean,
): ServerLoss {
  let promoted = 0;
  let lost = 0;
  let replicasLost = 0;
  const slices = layout.slices.map((placed): PlacedSlice => {
    if (placed.replica?.serverIndex === serverIndex) {
      replicasLost++;
      return { ...placed, replica: null };
    }
    if (placed.serverIndex !== serverIndex || placed.state === "lost") return placed;
    const { replica } = placed;
    if (placed.state === "held" && weights && replica?.inStep && live[replica.serverIndex]) {
      promoted++;
      return { ...underNextTerm(placed), serverIndex: replica.serverIndex, replica: null };
    }
    if (!weights) return { ...underNextTerm(placed), replica: null };
    lost++;
    return { ...placed, replica: null, state: "lost" };
  });
  return { layout: changed(layout, slices), promoted, lost, replicasLost };
}

/**
 * Gives slices without a replica one: on the next server that is ready, behind the primary's. A primary that is not ready
 * waits: it must have heard that its former replica is none before it hears of the next.
 *
 * @param ready by slot: the server there is as this layout has it
 */
export function placeReplicas(layout: ClusterLayout, ready: readonly boolean[]): ClusterLayout {
  const slices = layout.slices.map((placed): PlacedSlice => {
    if (placed.replica !== null || placed.state !== "held" || ready[placed.serverIndex] !== true)
      return placed;
    const behind = ready.map((_, i) => (placed.serverIndex + 1 + i) % ready.length);
    const serverIndex = behind.find((slot) => slot !== placed.serverIndex && ready[slot]);
    return serverIndex === undefined ? placed : { ...placed, replica: { serverIndex, inStep: false } };
  });
  return slices.every((placed, i) => placed === layout.slices[i]) ? layout : changed(layout, slices);
}

/** What a primary says of the replica of one of its slices. */
export interface ReplicaNews {
  readonly sliceIndex: number;
  readonly term: number;
  /** Slot of the replica's server. */
  readonly replicaIndex: number;
  readonly state: "inStep" | "lost";
}

/** Takes in what the server of a slot says of replicas; what is not of this layout is passed over. */
export function takeReplicaNews(
  layout: ClusterLayout,
  serverIndex: number,
  news: readonly ReplicaNews[],
): ClusterLayout {
  let anyLost = false;
  let any = false;
  const bySlice = new Map(news.map((one) => [one.sliceIndex, one]));
  const slices = layout.slices.map((placed): PlacedSlice => {
    const one = bySlice.get(placed.slice.sliceIndex);
    const fits =
      one !== undefined &&
      placed.serverIndex === serverIndex &&
      placed.slice.term === one.term &&
      placed.replica?.serverIndex === one.replicaIndex;
    if (!fits || placed.replica === null) return placed;
    if (one.state === "inStep" && placed.replica.inStep) return placed;
    any = true;
    if (one.state === "inStep") return { ...placed, replica: { ...placed.replica, inStep: true } };
    anyLost = true;
    return { ...placed, replica: null };
  });
  if (anyLost) return changed(layout, slices);
  // Servers and members need not know that a replica is in step.
  return any ? { ...layout, slices } : layout;
}

/** Lost slices whose slot has a server again. */
export function restorable(layout: ClusterLayout, live: readonly boolean[]): readonly PlacedSlice[] {
  return layout.slices.filter(({ state, serverIndex }) => state === "lost" && live[serverIndex]);
}

/**
 * Those slices go back to a checkpoint, under a new term.
 * @param termAbove the new terms are above this too: the highest in the checkpoint
 */
export function rollBackSlices(
  layout: ClusterLayout,
  restored: readonly PlacedSlice[],
  checkpoint: string,
  termAbove: number,
): ClusterLayout {
  const slices = layout.slices.map((placed): PlacedSlice => {
    if (!restored.includes(placed)) return placed;
    const term = Math.max(placed.slice.term, termAbove) + 1;
    return { ...placed, slice: { ...placed.slice, term }, state: "restoring" };
  });
  return { ...changed(layout, slices), rollback: layout.rollback + 1, checkpoint };
}

/** The server of a slot has what it was to restore. */
export function confirmRestored(layout: ClusterLayout, serverIndex: number): ClusterLayout {
  const due = (placed: PlacedSlice) => placed.serverIndex === serverIndex && placed.state === "restoring";
  if (!layout.slices.some(due)) return layout;
  const slices = layout.slices.map((placed) =>
    due(placed) ? { ...placed, state: "held" as const } : placed,
  );
  return { ...layout, slices };
}

/** A server with another address is in the slot: the others must know. */
export function serverChanged(layout: ClusterLayout): ClusterLayout {
  return changed(layout, layout.slices);
}

function underNextTerm(placed: PlacedSlice): PlacedSlice {
  return { ...placed, slice: { ...placed.slice, term: placed.slice.term + 1 } };
}

function changed(layout: ClusterLayout, slices: readonly PlacedSlice[]): ClusterLayout {
  return { ...layout, revision: layout.revision + 1, slices };
}
