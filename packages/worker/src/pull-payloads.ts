import { DownpourError } from "@downpour/errors";
import { codecRuns, type Manifest } from "@downpour/parameter-vector";
import { copyBytes } from "@downpour/protocol";
import {
  addDifferenceInPlace,
  type CodecRun,
  checkPayload,
  decodeInto,
  encodedLength,
  type KernelArrays,
  type PullCodec,
} from "@downpour/tensor-kernels";
import type { PullPayloads } from "./parameter-client.ts";
import type { Slice } from "./weight-replica.ts";

type WireCodec = PullPayloads["codec"];

const wireCodecs: Readonly<Record<PullCodec, WireCodec>> = {
  float32: "CODEC_FLOAT32",
  float16: "CODEC_FLOAT16",
  bfloat16: "CODEC_BFLOAT16",
  int8Difference: "CODEC_INT8_DIFFERENCE",
};

export interface PullDecoderOptions {
  readonly codec: PullCodec;
  readonly manifest: Manifest;
  readonly slices: readonly Slice[];
  /** Where payloads are decoded. The weights must lie in the same memory. */
  readonly arrays: KernelArrays;
}

/** Reads pulled weights. Servers may send float32 in place of what was asked for. */
export class PullDecoder implements PullPayloads {
  readonly codec: WireCodec;
  readonly #options: PullDecoderOptions;
  readonly #runs: readonly (readonly CodecRun[])[];
  /** Kernels read payloads from their own memory only. */
  readonly #staging: Uint8Array;

  constructor(options: PullDecoderOptions) {
    const { codec, manifest, slices, arrays } = options;
    this.#options = options;
    this.codec = wireCodecs[codec];
    this.#runs = slices.map((slice) => codecRuns(manifest, slice));
    const lengths = codec === "float32" ? [] : this.#runs.map((runs) => encodedLength(codec, runs));
    this.#staging = arrays.allocateBytes(Math.max(0, ...lengths));
  }

  /**
   * Writes a payload over the weights of its slice, or adds it to them where it holds differences.
   * @throws internal: a codec that was not asked for, or a payload that is none of its codec
   */
  decodeInto(sliceIndex: number, codec: unknown, data: Uint8Array, weights: Float32Array): void {
    if (codec === "CODEC_FLOAT32" && data.length === weights.byteLength) {
      copyBytes(new Uint8Array(weights.buffer, weights.byteOffset, data.length), data);
      return;
    }
    if (codec !== this.codec || codec === "CODEC_FLOAT32" || data.length > this.#staging.length) {
      throw new DownpourError(
        "internal",
        `a server sent slice ${sliceIndex} as ${data.length} bytes of ${codec}, expected ${this.codec}, or ` +
          `${weights.byteLength} bytes of CODEC_FLOAT32`,
      );
    }
    const { codec: name, arrays } = this.#options;
    const runs = this.#runs[sliceIndex] ?? [];
    const payload = this.#staging.subarray(0, data.length);
    copyBytes(payload, data);
    checkPayload(name, runs, payload, arrays.kernels);
    if (name === "int8Difference") addDifferenceInPlace(arrays.kernels, runs, payload, weights);
    else decodeInto(arrays.kernels, name, runs, payload, weights);
  }
}
