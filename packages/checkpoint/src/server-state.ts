import { DownpourError, messageOf } from "@downpour/errors";
import type { Manifest } from "@downpour/parameter-vector";
import { z } from "zod";
import { pushIdsFromStored, pushIdsToStored } from "./push-ids.ts";
import { type ServerSnapshot, type SliceSnapshot, slotNamesOf } from "./slice-snapshot.ts";

const count = z.int().min(0);

const schema = z.strictObject({
  serverIndex: count,
  serverCount: z.int().min(1),
  parameters: z.string(),
  batchesPerEpoch: z.int().min(1),
  slotNames: z.array(z.string()),
  slices: z.array(
    z.strictObject({
      sliceIndex: count,
      offset: count,
      length: z.int().min(1),
      isStatistic: z.boolean(),
      term: count,
      count,
      pushIds: z.strictObject({
        newestEpoch: z.int().min(-1),
        epochs: z.array(z.strictObject({ epoch: count, applied: z.string() })),
      }),
      stepSize: z.strictObject({ average: z.number().min(0), stepsSeen: count }).nullable(),
    }),
  ),
});

/** A slice without its arrays. */
export type SliceState = Omit<SliceSnapshot, "weights" | "slots">;

/** What a server's state file says: everything but arrays. */
export interface ServerState extends Omit<ServerSnapshot, "slices"> {
  readonly slotNames: readonly string[];
  readonly slices: readonly SliceState[];
}

/** The bytes of a server's state file. @throws invalidArgument: slices with different slots */
export function encodeServerState(manifest: Manifest, snapshot: ServerSnapshot): Uint8Array {
  const { serverIndex, serverCount, batchesPerEpoch, slices } = snapshot;
  const stored: z.input<typeof schema> = {
    serverIndex,
    serverCount,
    parameters: manifest.fingerprint,
    batchesPerEpoch,
    slotNames: slotNamesOf(slices.filter((slice) => !slice.isStatistic)),
    slices: slices.map(({ range, isStatistic, term, count, pushIds, stepSize }) => {
      const { newestEpoch, epochs } = pushIdsToStored(pushIds);
      return {
        sliceIndex: range.sliceIndex,
        offset: range.offset,
        length: range.length,
        isStatistic,
        term,
        count,
        pushIds: { newestEpoch, epochs: [...epochs] },
        stepSize,
      };
    }),
  };
  return new TextEncoder().encode(`${JSON.stringify(stored)}\n`);
}

/**
 * The inverse of {@link encodeServerState}.
 * @param source named in errors
 * @throws corruptData: it is no state file, or one of another model
 */
export function decodeServerState(manifest: Manifest, bytes: Uint8Array, source: string): ServerState {
  const stored = parseState(bytes, source);
  if (stored.parameters !== manifest.fingerprint) {
    throw new DownpourError(
      "corruptData",
      `${source} is of a model with the fingerprint ${stored.parameters}, expected ${manifest.fingerprint}`,
    );
  }
  const { serverIndex, serverCount, batchesPerEpoch, slotNames } = stored;
  const slices = stored.slices.map((slice) => {
    const { sliceIndex, offset, length, pushIds, ...rest } = slice;
    if (offset + length > manifest.length) {
      throw new DownpourError(
        "corruptData",
        `${source} has slice ${sliceIndex} up to element ${offset + length} of ${manifest.length}`,
      );
    }
    return {
      ...rest,
      range: { sliceIndex, offset, length },
      pushIds: pushIdsFromStored(batchesPerEpoch, pushIds),
    };
  });
  return { serverIndex, serverCount, batchesPerEpoch, slotNames, slices };
}

function parseState(bytes: Uint8Array, source: string): z.output<typeof schema> {
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (error) {
    throw new DownpourError("corruptData", `${source} is not a server's state: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
