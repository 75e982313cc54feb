import type { SliceRange } from "./slices.ts";

/**
 * Chooses a server for every slice so that servers hold nearly the same number of elements: the longest slice
 * first, each to the server that holds least so far (LPT, Graham 1969, section 5: at most 4/3 of the best).
 * The same input gives the same placement everywhere.
 *
 * @returns the server index of each slice, by slice index
 */
export function placeSlices(slices: readonly SliceRange[], serverCount: number): number[] {
  const loads = new Array<number>(serverCount).fill(0);
  const servers = new Array<number>(slices.length).fill(0);
  const longestFirst = [...slices].sort((a, b) => b.length - a.length || a.sliceIndex - b.sliceIndex);
  for (const slice of longestFirst) {
    let least = 0;
    for (let server = 1; server < serverCount; server++) {
      if ((loads[server] ?? 0) < (loads[least] ?? 0)) least = server;
    }
    servers[slice.sliceIndex] = least;
    loads[least] = (loads[least] ?? 0) + slice.length;
  }
  return servers;
}
