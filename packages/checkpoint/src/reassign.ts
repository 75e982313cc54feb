import { DownpourError } from "@downpour/errors";
import {
  cutSlices,
  isStatisticSlice,
  type Manifest,
  placeSlices,
  type SliceRange,
} from "@downpour/parameter-vector";
import { commonPushIds } from "./push-ids.ts";
import { type ServerSnapshot, type SliceSnapshot, type StepSize, slotNamesOf } from "./slice-snapshot.ts";
import { scatterInto } from "./tensor-pieces.ts";

/** How slices are cut anew. */
export interface RecutOptions {
  /** Term of the new slices: above that of every old one, so that nobody takes them for those. */
  readonly term: number;
  readonly batchesPerEpoch: number;
}

/**
 * Cuts slices anew: weights and optimizer slots by offset, bit for bit, into arrays of their own.
 *
 * **A new slice that lies within one old one keeps its push ids**: nothing is trained again, nothing is lost. In
 * particular the old slices may be placed on other servers as they are.
 *
 * **A new slice that spans several old ones gets the push ids that all of these have.** Slices snapshot independently,
 * so the gradients that were under way at the time are in some of them and not in others, and one bitmap can't say
 * which elements have which. Two ways are open: to take such a gradient as applied, and the elements of the slices that
 * lacked it never get it; or as not applied, and the elements of those that had it get it twice, the second time
 * computed on later weights. This does the second: no example is left out, and what is too much is an ordinary gradient
 * more. It concerns only batches that were under way between the first and the last slice's snapshot, once each per
 * resume, in part of the parameter vector. `restoreLedger` reopens exactly these batches, since what all new slices have
 * is what all old ones had; the ledger then proves that every batch was counted once, while for them "applied once per
 * slice" no longer holds element by element.
 *
 * Counts are taken as follows. Slices that gradients update have the highest of the counts: a bias correction as of
 * Adam divides by 1 - beta^count, and a count too low would enlarge the step. Moving statistics have the lowest: their
 * average takes the initial value for measured ones otherwise. Step sizes are averaged by length, and have been seen as
 * often as the least of them.
 *
 * @param source slices without overlaps that cover every target; others are passed over
 * @throws invalidArgument: an element of a target is in no source or in two, kinds are mixed, or the term is not new
 */
export function recutSlices(
  manifest: Manifest,
  source: readonly SliceSnapshot[],
  targets: readonly SliceRange[],
  options: RecutOptions,
): SliceSnapshot[] {
  const stale = source.find((slice) => slice.term >= options.term);
  if (stale !== undefined) {
    throw new DownpourError(
      "invalidArgument",
      `slice ${stale.range.sliceIndex} has term ${stale.term}; expected a term below the new one, ${options.term}`,
    );
  }
  return targets.map((range) => {
    const isStatistic = isStatisticSlice(manifest, range);
    const parts = coveringSlices(source, range);
    const mixed = parts.find((part) => part.isStatistic !== isStatistic);
    if (mixed !== undefined) {
      throw new DownpourError(
        "invalidArgument",
        `slice ${mixed.range.sliceIndex} ${mixed.isStatistic ? "holds" : "does not hold"} moving statistics, but ` +
          `the new slice ${range.sliceIndex} that takes from it ${isStatistic ? "does" : "does not"}`,
      );
    }
    return joinSlices(parts, range, options);
  });
}

function joinSlices(
  parts: readonly SliceSnapshot[],
  range: SliceRange,
  options: RecutOptions,
): SliceSnapshot {
  const isStatistic = parts.some((part) => part.isStatistic);
  const join = (pick: (part: SliceSnapshot) => Float32Array) => {
    const data = new Float32Array(range.length);
    for (const part of parts) scatterInto([{ range, data }], part.range.offset, pick(part));
    return data;
  };
  const counts = parts.map((part) => part.count);
  const slots = slotNamesOf(parts).map(
    (name) => [name, join((part) => part.slots.get(name) as Float32Array)] as const,
  );
  return {
    range,
    isStatistic,
    term: options.term,
    count: isStatistic ? Math.min(...counts) : Math.max(...counts),
    pushIds: commonPushIds(
      parts.map((part) => part.pushIds),
      options.batchesPerEpoch,
    ),
    stepSize: joinStepSizes(parts, range),
    weights: join((part) => part.weights),
    slots: new Map(slots),
  };
}

/** Null where any is: the policy then begins to measure anew. */
function joinStepSizes(parts: readonly SliceSnapshot[], range: SliceRange): StepSize | null {
  const [first, ...others] = parts;
  if (first === undefined || others.length === 0) return first?.stepSize ?? null;
  let average = 0;
  let stepsSeen = Number.POSITIVE_INFINITY;
  for (const part of parts) {
    if (part.stepSize === null) return null;
    average += part.stepSize.average * (overlapOf(part.range, range) / range.length);
    stepsSeen = Math.min(stepsSeen, part.stepSize.stepsSeen);
  }
  return { average, stepsSeen };
}

function overlapOf(a: SliceRange, b: SliceRange): number {
  return Math.min(a.offset + a.length, b.offset + b.length) - Math.max(a.offset, b.offset);
}

/** The slices that a range takes from, in order. */
function coveringSlices(source: readonly SliceSnapshot[], range: SliceRange): SliceSnapshot[] {
  const parts = source
    .filter((slice) => overlapOf(slice.range, range) > 0)
    .sort((a, b) => a.range.offset - b.range.offset);
  let at = range.offset;
  for (const part of parts) {
    if (part.range.offset > at || (part.range.offset < at && at > range.offset)) break;
    at = part.range.offset + part.range.length;
  }
  const end = range.offset + range.length;
  const covered = parts.reduce((sum, part) => sum + overlapOf(part.range, range), 0);
  if (at < end || covered !== range.length) {
    throw new DownpourError(
      "invalidArgument",
      `elements ${range.offset} to ${end} of the parameter vector are to be slice ${range.sliceIndex}, but the ` +
        `slices at hand cover ${covered} of these ${range.length} elements, expected each once`,
    );
  }
  return parts;
}

/** What each of another number of servers gets. */
export interface Reassignment {
  readonly servers: readonly ServerSnapshot[];
  /** All new slices, by slice index: their push ids together are those of the old ones. */
  readonly slices: readonly SliceSnapshot[];
}

/**
 * Cuts and places the slices of all servers of a checkpoint for another number of servers; see {@link recutSlices} for
 * what becomes of gradients that were under way. With the number of servers that wrote the checkpoint the slices stay
 * as they are, apart from their term.
 *
 * @throws invalidArgument: the servers do not belong together or do not cover the parameter vector
 */
export function reassign(
  manifest: Manifest,
  servers: readonly ServerSnapshot[],
  serverCount: number,
  term: number,
): Reassignment {
  const batchesPerEpoch = servers[0]?.batchesPerEpoch ?? 1;
  const odd = servers.find((server) => server.batchesPerEpoch !== batchesPerEpoch);
  if (odd !== undefined) {
    throw new DownpourError(
      "invalidArgument",
      `server ${odd.serverIndex} has ${odd.batchesPerEpoch} batches per epoch, server ${servers[0]?.serverIndex} ` +
        `has ${batchesPerEpoch}; expected the same`,
    );
  }
  const ranges = cutSlices(manifest, serverCount);
  const source = servers.flatMap((server) => server.slices);
  const slices = recutSlices(manifest, source, ranges, { term, batchesPerEpoch });
  const places = placeSlices(ranges, serverCount);
  return {
    slices,
    servers: Array.from({ length: serverCount }, (_, serverIndex) => ({
      serverIndex,
      serverCount,
      batchesPerEpoch,
      slices: slices.filter((slice) => places[slice.range.sliceIndex] === serverIndex),
    })),
  };
}
