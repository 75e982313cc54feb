import { assertNever, DownpourError } from "@downpour/errors";
import type { Kernels } from "./kernels.ts";
import { float32Scheme, halfScheme, int8Scheme, oneBitScheme, type Scheme } from "./schemes.ts";
import { topKScheme } from "./top-k.ts";

/**
 * How gradients are written. Bytes per element, beside 4 of float32: float16 and bfloat16 2, int8 1.004, oneBit
 * 0.133, topK about 8 times the ratio. `ratio`: the share of elements that is sent, more than 0, at most 1.
 */
export type PushCodec =
  | { readonly name: "float32" | "float16" | "bfloat16" | "int8" | "oneBit" }
  | { readonly name: "topK"; readonly ratio: number };

/** How weights are written. int8Difference: current minus what the reader has (`encodeDifference`). */
export type PullCodec = "float32" | "float16" | "bfloat16" | "int8Difference";

/**
 * A run of a slice's elements, relative to the slice: begin inclusive, end exclusive. Exact runs (biases, norm
 * scales, statistics) are float32 whatever the codec. Runs of a slice rise and don't overlap.
 */
export interface CodecRun {
  readonly begin: number;
  readonly end: number;
  readonly exact: boolean;
}

/** How a run is written under a codec. */
export function schemeOf(codec: PushCodec | PullCodec, run: CodecRun): Scheme {
  if (run.exact) return float32Scheme;
  const name = typeof codec === "string" ? codec : codec.name;
  switch (name) {
    case "float32":
      return float32Scheme;
    case "float16":
    case "bfloat16":
      return halfScheme[name];
    case "int8":
    case "int8Difference":
      return int8Scheme;
    case "oneBit":
      return oneBitScheme;
    case "topK":
      return topKScheme((codec as { readonly ratio: number }).ratio);
    default:
      return assertNever(name, "codec");
  }
}

/** Bytes of a slice's payload, exactly; for topK the most it can have. */
export function encodedLength(codec: PushCodec | PullCodec, runs: readonly CodecRun[]): number {
  return runs.reduce((sum, run) => sum + schemeOf(codec, run).bytesMax(run.end - run.begin), 0);
}

/**
 * Writes the runs of a slice one after another, little-endian, without padding. The source must be finite.
 * What a codec can't hold saturates: see `CodecKernels`. int8Difference is `encodeDifference`'s.
 *
 * @param source the slice; left as it is
 * @param target at least `encodedLength` bytes, at any offset
 * @returns bytes written
 */
export function encode(
  kernels: Kernels,
  codec: PushCodec | Exclude<PullCodec, "int8Difference">,
  runs: readonly CodecRun[],
  source: Float32Array,
  target: Uint8Array,
): number {
  let at = 0;
  for (const run of runs) {
    const values = source.subarray(run.begin, run.end);
    at += schemeOf(codec, run).encode(kernels, values, target.subarray(at));
  }
  return at;
}

/**
 * Looks through a payload from the wire. After it returns, `decodeInto` with the same runs stays inside them and
 * writes finite numbers.
 *
 * @throws DownpourError invalidArgument: a length that is not the codec's, a value, scale or mean that is not
 * finite, an int8 block whose values would not be, topK counts or indices beyond the run or not rising
 */
export function checkPayload(
  codec: PushCodec | PullCodec,
  runs: readonly CodecRun[],
  payload: Uint8Array,
  kernels: Kernels,
): void {
  const name = typeof codec === "string" ? codec : codec.name;
  const bytesMax = encodedLength(codec, runs);
  const isFixed = name !== "topK";
  if (isFixed ? payload.length !== bytesMax : payload.length > bytesMax) {
    throw wrongLength(name, payload.length, `${isFixed ? "exactly" : "at most"} ${bytesMax}`);
  }
  let at = 0;
  for (const run of runs) {
    const where = { codec: name, begin: run.begin, end: run.end };
    at += schemeOf(codec, run).check(kernels, payload.subarray(at), run.end - run.begin, where);
  }
  if (at !== payload.length) throw wrongLength(name, payload.length, `exactly ${at} for its counts`);
}

function wrongLength(name: string, found: number, expected: string): DownpourError {
  return new DownpourError(
    "invalidArgument",
    `a ${name} payload has ${found} bytes, expected ${expected}; sender and receiver must have one job and manifest`,
    { facts: { codec: name, found, expected } },
  );
}

/**
 * Writes the values of a payload over the runs of a slice; elements outside the runs stay as they are, and those
 * that topK didn't send become 0. The payload must have passed `checkPayload`.
 */
export function decodeInto(
  kernels: Kernels,
  codec: PushCodec | PullCodec,
  runs: readonly CodecRun[],
  payload: Uint8Array,
  target: Float32Array,
): void {
  let at = 0;
  for (const run of runs) {
    const values = target.subarray(run.begin, run.end);
    at += schemeOf(codec, run).decode(kernels, payload.subarray(at), values);
  }
}
