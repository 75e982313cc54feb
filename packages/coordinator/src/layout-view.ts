import type { AssignedSliceInput, PlacedSliceInput } from "@downpour/protocol";
import type { ClusterLayout, PlacedSlice } from "./cluster-layout.ts";

/* A layout as servers and members see it. */

/**
 * What the server of a slot has: all of it. Lost slices are left out until they are restored.
 * @param addresses of the servers, by slot; undefined where there is none
 */
export function assignmentOf(
  layout: ClusterLayout,
  serverIndex: number,
  addresses: readonly (string | undefined)[],
): AssignedSliceInput[] {
  return layout.slices.flatMap((placed): AssignedSliceInput[] => {
    const { slice, replica, state } = placed;
    if (state === "lost") return [];
    if (placed.serverIndex === serverIndex) {
      const replicaAddress = replica === null ? "" : (addresses[replica.serverIndex] ?? "");
      return [{ ...slice, duty: "SLICE_DUTY_PRIMARY", replicaAddress, restore: state === "restoring" }];
    }
    if (replica?.serverIndex !== serverIndex) return [];
    return [{ ...slice, duty: "SLICE_DUTY_REPLICA", replicaAddress: "", restore: false }];
  });
}

/** Addresses as members get them: empty for a server that is missing, or has not got its slices back. */
export function memberAddresses(layout: ClusterLayout, addresses: readonly (string | undefined)[]): string[] {
  return addresses.map((address, serverIndex) => {
    const away = layout.slices.some(
      (placed) => placed.serverIndex === serverIndex && placed.state !== "held",
    );
    return away ? "" : (address ?? "");
  });
}

/** Whether every slice has a primary that members can reach. */
export function isReachable(layout: ClusterLayout, addresses: readonly (string | undefined)[]): boolean {
  const known = memberAddresses(layout, addresses);
  return layout.slices.every(({ serverIndex }) => known[serverIndex] !== "");
}

export function placedSlicesOf(layout: ClusterLayout): PlacedSliceInput[] {
  return layout.slices.map(({ slice, serverIndex }) => ({ slice, serverIndex }));
}

/** Slots that are the primary of a slice, ascending: those that write a checkpoint. */
export function primaryIndices(layout: ClusterLayout): number[] {
  return [...new Set(layout.slices.map(({ serverIndex }) => serverIndex))].sort((a, b) => a - b);
}

/** Whether every slice has a replica in step. */
export function isReplicated({ slices }: ClusterLayout): boolean {
  return slices.every((placed: PlacedSlice) => placed.replica?.inStep === true);
}
