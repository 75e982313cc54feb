import { Bitmap } from "@downpour/checkpoint";
import { DownpourError, messageOf } from "@downpour/errors";
import type { ReplicateRequest, ReplicateRequestInput } from "@downpour/protocol";
import { z } from "zod";
import type { FillFacts, FillPiece, LogEntry, ReplicaMessage, ReplicatedStep } from "./replica-messages.ts";

/* ReplicaMessage as protobuf, and back. What is JSON in it is checked by these schemas. */

const count = z.int().min(0);
const norm = z.number().min(0);

const step = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("gradient"),
    memberId: z.string(),
    epoch: count,
    batch: count,
    base: count,
    codec: z.enum(["float32", "float16", "bfloat16", "int8", "oneBit", "topK"]),
    learningRate: z.number(),
    momentum: z.number(),
    norms: z
      .record(z.string().regex(/^\d+$/), z.strictObject({ gradientNorm: norm, weightNorm: norm }))
      .optional(),
  }),
  z.strictObject({ kind: z.literal("close"), momentum: z.number(), round: count }),
  z.strictObject({ kind: z.literal("pulled"), memberId: z.string(), kept: z.boolean() }),
  z.strictObject({ kind: z.literal("left"), memberId: z.string() }),
]);

const facts = z.strictObject({
  historyTerm: count,
  count,
  round: count,
  batchesPerEpoch: z.int().min(1),
  newestEpoch: z.int().min(-1),
  epochs: z.array(z.strictObject({ epoch: count, applied: z.string() })).max(2),
  waiting: z.strictObject({
    pushIds: z.array(z.strictObject({ epoch: count, batch: count })),
    rates: z.number(),
    norms: z.array(z.tuple([count, norm, norm])),
  }),
  stepSize: z.strictObject({ average: norm, stepsSeen: count }),
});

export function messageToWire(
  manifestFingerprint: string,
  { fills, entries }: ReplicaMessage,
): Omit<ReplicateRequestInput, "sequence"> {
  return {
    manifestFingerprint,
    fills: fills.map(({ facts: of, ...piece }) => ({
      ...piece,
      stateJson: of === undefined ? "" : JSON.stringify(factsToStored(of)),
    })),
    entries: entries.map(({ step: done, ...entry }) => ({ ...entry, stepJson: JSON.stringify(done) })),
  };
}

/** @throws invalidArgument: it is no message of a primary */
export function messageFromWire({ fills, entries }: ReplicateRequest): ReplicaMessage {
  return {
    fills: fills.map(({ stateJson, ...piece }): FillPiece => {
      const { sliceIndex } = piece;
      return { ...piece, facts: stateJson === "" ? undefined : factsFromStored(sliceIndex, stateJson) };
    }),
    entries: entries.map(({ stepJson, ...entry }): LogEntry => {
      const parsed = parse(step, stepJson, `a log entry of slice ${entry.sliceIndex}`);
      return { ...entry, step: parsed as ReplicatedStep };
    }),
  };
}

function factsToStored(of: FillFacts): z.input<typeof facts> {
  const { pushIds, waiting, ...rest } = of;
  const bitmaps = [...pushIds.epochs];
  return {
    ...rest,
    batchesPerEpoch: bitmaps[0]?.[1].size ?? 1,
    newestEpoch: pushIds.newestEpoch,
    epochs: bitmaps.map(([epoch, bitmap]) => ({ epoch, applied: bitmap.toBase64() })),
    waiting: { ...waiting, pushIds: [...waiting.pushIds], norms: waiting.norms.map(([...sums]) => sums) },
  };
}

function factsFromStored(sliceIndex: number, json: string): FillFacts {
  const what = `a fill of slice ${sliceIndex}`;
  const { newestEpoch, epochs, batchesPerEpoch, ...rest } = parse(facts, json, what);
  const bitmaps = epochs.map(
    ({ epoch, applied }) => [epoch, Bitmap.fromBase64(batchesPerEpoch, applied)] as const,
  );
  return { ...rest, pushIds: { newestEpoch, epochs: new Map(bitmaps) } };
}

function parse<T>(schema: z.ZodType<T>, json: string, what: string): T {
  try {
    return schema.parse(JSON.parse(json));
  } catch (cause) {
    throw new DownpourError("invalidArgument", `${what} is not what a primary sends: ${messageOf(cause)}`, {
      cause,
    });
  }
}
