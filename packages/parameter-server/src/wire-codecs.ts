import { DownpourError } from "@downpour/errors";
import type { Codec } from "@downpour/protocol";
import type { PullCodec, PushCodec } from "@downpour/tensor-kernels";

const pushCodecs: Readonly<Partial<Record<Codec, PushCodec["name"]>>> = {
  CODEC_FLOAT32: "float32",
  CODEC_FLOAT16: "float16",
  CODEC_BFLOAT16: "bfloat16",
  CODEC_INT8: "int8",
  CODEC_ONE_BIT: "oneBit",
  CODEC_TOP_K: "topK",
};

const pullCodecs: Readonly<Partial<Record<Codec, PullCodec>>> = {
  CODEC_FLOAT32: "float32",
  CODEC_FLOAT16: "float16",
  CODEC_BFLOAT16: "bfloat16",
  CODEC_INT8_DIFFERENCE: "int8Difference",
};

const wireCodecs: Readonly<Record<PullCodec, Codec>> = {
  float32: "CODEC_FLOAT32",
  float16: "CODEC_FLOAT16",
  bfloat16: "CODEC_BFLOAT16",
  int8Difference: "CODEC_INT8_DIFFERENCE",
};

/** @throws invalidArgument: none that gradients may have */
export function pushCodecFromWire(codec: Codec, sliceIndex: number): PushCodec["name"] {
  const known = pushCodecs[codec];
  if (known !== undefined) return known;
  throw new DownpourError(
    "invalidArgument",
    `slice ${sliceIndex} is encoded as ${codec}, expected one of ${Object.keys(pushCodecs).join(", ")}`,
  );
}

/** @throws invalidArgument: none that weights may have */
export function pullCodecFromWire(codec: Codec): PullCodec {
  const known = pullCodecs[codec];
  if (known !== undefined) return known;
  throw new DownpourError(
    "invalidArgument",
    `weights are wanted as ${codec}, expected one of ${Object.keys(pullCodecs).join(", ")}`,
  );
}

export function pullCodecToWire(codec: PullCodec): Codec {
  return wireCodecs[codec];
}
