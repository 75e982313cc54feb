import { DownpourError } from "@downpour/errors";

/** Batches in one epoch: ceil(exampleCount / batchSize). */
export function batchCount(exampleCount: number, batchSize: number): number {
  requirePositive("batchSize", batchSize);
  return Math.ceil(exampleCount / batchSize);
}

/**
 * The positions [begin, end) of a batch in the epoch's order. The last batch of an epoch may be short.
 *
 * @throws DownpourError `invalidArgument` when there is no such batch
 */
export function batchRange(
  batch: number,
  batchSize: number,
  exampleCount: number,
): { begin: number; end: number } {
  const count = batchCount(exampleCount, batchSize);
  if (!Number.isInteger(batch) || batch < 0 || batch >= count) {
    throw new DownpourError(
      "invalidArgument",
      `batch ${batch} does not exist: ${exampleCount} examples in batches of ${batchSize} are batches 0 to ${count - 1}`,
      { facts: { batch, batchSize, exampleCount } },
    );
  }
  const begin = batch * batchSize;
  return { begin, end: Math.min(begin + batchSize, exampleCount) };
}

function requirePositive(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new DownpourError("invalidArgument", `${name} must be an integer >= 1, but is ${value}`, {
    facts: { [name]: value },
  });
}
