import { type Job, momentumAtWorkers } from "@downpour/job";
import { codecRuns, isStatisticSlice, type Manifest, tensorRuns } from "@downpour/parameter-vector";
import {
  type CodecRun,
  ErrorFeedback,
  encode,
  encodedLength,
  type KernelArrays,
  type PushCodec,
  type PushFeedback,
  TopKFeedback,
} from "@downpour/tensor-kernels";
import type { EncodedSlice, TensorNorms } from "./push-delivery.ts";
import type { Slice } from "./weight-replica.ts";

type WireCodec = EncodedSlice["codec"];

const wireCodecs: Readonly<Record<PushCodec["name"], WireCodec>> = {
  float32: "CODEC_FLOAT32",
  float16: "CODEC_FLOAT16",
  bfloat16: "CODEC_BFLOAT16",
  int8: "CODEC_INT8",
  oneBit: "CODEC_ONE_BIT",
  topK: "CODEC_TOP_K",
};

export interface PushEncoderOptions {
  readonly job: Job;
  readonly manifest: Manifest;
  readonly slices: readonly Slice[];
  /** Where state and payloads are kept. Gradients must lie in the same memory. */
  readonly arrays: KernelArrays;
}

/** How to encode one gradient. */
export interface EncodeOptions {
  /** Of all tensors, for LARS. */
  readonly norms: readonly TensorNorms[] | undefined;
  /** In force now: what workers that keep the momentum multiply their velocity by. */
  readonly momentum: number;
  /** Sends all that was held back, as float32: nothing will follow. */
  readonly dense: boolean;
}

/** How one slice is written. */
interface SliceCodec {
  readonly slice: Slice;
  readonly name: PushCodec["name"];
  /** What is held back of it; undefined when the codec holds nothing back. */
  readonly feedback: PushFeedback | undefined;
  readonly encode: (values: Float32Array) => Uint8Array;
  /** Indices of the tensors that it carries elements of. */
  readonly tensors: readonly number[];
  readonly isStatistic: boolean;
  isPending: boolean;
}

/**
 * Turns gradients into payloads, slice by slice, by the codec of the job, and keeps what it leaves out for the next
 * time. Where workers keep the momentum (DANA-Slim, top-k gradients) it is here. Statistics travel as float32.
 */
export class PushEncoder {
  readonly #options: PushEncoderOptions;
  readonly #slices: readonly SliceCodec[];
  /** v of DANA-Slim. */
  readonly #velocity: Float32Array | undefined;
  /** Of the next push; feedback of top-k gradients reads it. */
  #momentum = 0;

  constructor(options: PushEncoderOptions) {
    this.#options = options;
    this.#slices = options.slices.map((slice) => this.#codecOf(slice));
    if (options.job.staleness.policy === "dana" && momentumAtWorkers(options.job)) {
      this.#velocity = options.arrays.allocateFloats(options.manifest.length);
      options.arrays.kernels.fill(this.#velocity, 0);
    }
  }

  /**
   * Encodes a gradient, which it may change. The payloads hold until every slice is acknowledged; what is held back
   * changes only then.
   */
  encode(gradient: Float32Array, { norms, momentum, dense }: EncodeOptions): EncodedSlice[] {
    this.#momentum = momentum;
    return this.#slices.map((codec) => {
      const { sliceIndex, offset, length } = codec.slice;
      const values = gradient.subarray(offset, offset + length);
      if (this.#velocity !== undefined && !codec.isStatistic) {
        const velocity = this.#velocity.subarray(offset, offset + length);
        this.#options.arrays.kernels.danaInPlace(values, velocity, momentum);
      }
      return {
        sliceIndex,
        codec: wireCodecs[dense ? "float32" : codec.name],
        data: dense ? this.#dense(codec, values) : this.#lossy(codec, values),
        norms: norms?.filter(({ tensorIndex }) => codec.tensors.includes(tensorIndex ?? -1)) ?? [],
      };
    });
  }

  /** A slice has taken what was encoded last (`applied`), or it had another worker's gradient of that push id. */
  acknowledged(sliceIndex: number, applied: boolean): void {
    const codec = this.#slices[sliceIndex];
    if (codec?.feedback === undefined || !codec.isPending) return;
    codec.isPending = false;
    if (applied) codec.feedback.commit();
    else codec.feedback.discard();
  }

  #lossy(codec: SliceCodec, values: Float32Array): Uint8Array {
    codec.isPending = true;
    return codec.encode(values);
  }

  #dense(codec: SliceCodec, values: Float32Array): Uint8Array {
    codec.isPending = true;
    const { feedback } = codec;
    if (feedback !== undefined) this.#options.arrays.kernels.addScaledInPlace(values, feedback.flush(), 1);
    return bytesOf(values);
  }

  #codecOf(slice: Slice): SliceCodec {
    const { job, manifest, arrays } = this.#options;
    const runs = codecRuns(manifest, slice);
    const tensors = tensorRuns(manifest, slice).map(({ tensorIndex }) => tensorIndex);
    const isStatistic = isStatisticSlice(manifest, slice);
    const about = { slice, tensors, isStatistic, isPending: false };
    const codec = isStatistic ? ({ name: "float32" } as const) : pushCodecOf(job);
    const feedback = feedbackOf(codec, runs, slice.length, arrays, () => this.#momentum);
    if (feedback !== undefined) {
      return { ...about, name: codec.name, feedback, encode: (values) => feedback.prepare(values) };
    }
    if (codec.name === "float32") return { ...about, name: "float32", feedback, encode: bytesOf };
    const payload = arrays.allocateBytes(encodedLength(codec, runs));
    const { kernels } = arrays;
    return {
      ...about,
      name: codec.name,
      feedback,
      encode: (values) => payload.subarray(0, encode(kernels, codec, runs, values, payload)),
    };
  }
}

/** The codec of the job's pushes, as kernels know it. */
export function pushCodecOf({ wire }: Job): PushCodec {
  const { push } = wire;
  return push.codec === "topK" ? { name: "topK", ratio: push.ratio } : { name: push.codec };
}

function feedbackOf(
  codec: PushCodec,
  runs: readonly CodecRun[],
  length: number,
  arrays: KernelArrays,
  momentum: () => number,
): PushFeedback | undefined {
  switch (codec.name) {
    case "topK":
      return new TopKFeedback(arrays, codec, runs, length, momentum);
    case "int8":
    case "oneBit":
      // Exact runs leave nothing out.
      if (runs.every(({ exact }) => exact)) return undefined;
      return new ErrorFeedback(arrays, { name: codec.name }, runs, length);
    default:
      return undefined;
  }
}

/** The bytes of an array; no copy. */
function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
