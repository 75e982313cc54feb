import type { PullCodec, PushCodec } from "@downpour/tensor-kernels";

/** Norms of one whole tensor, for LARS. */
export interface TensorNorms {
  readonly gradientNorm: number;
  readonly weightNorm: number;
}

/** Norms of tensors, by their index in the manifest. */
export type NormsByTensor = Readonly<Record<number, TensorNorms>>;

/** The numbers of one update. */
export interface UpdateNumbers {
  /** eta, all factors in it. */
  readonly learningRate: number;
  /** Which update of the slice it is, from 1. */
  readonly step: number;
  /** Momentum in force; beta1 of Adam and AdamW. */
  readonly momentum: number;
  readonly norms?: NormsByTensor;
}

/**
 * What an apply thread does with a slice: plain data, so that it goes to another thread, and replays bit for bit.
 * `slice` is the index among the thread's slices; everything that ends in `At` is a byte offset in its memory.
 */
export type Command = { readonly slice: number } & (
  | InitializeCommand
  | GradientCommand
  | CloseCommand
  | KeepCommand
  | EncodeCommand
  | EncodeDifferenceCommand
  | SnapshotCommand
  | LoadCommand
);

/** weights <- the float32 payload. */
export interface InitializeCommand {
  readonly kind: "initialize";
  readonly payloadAt: number;
}

/** Decodes a gradient, lets the staleness policy at it, and applies it, or adds it to what waits for an update. */
export interface GradientCommand {
  readonly kind: "gradient";
  readonly codec: PushCodec;
  /** Float32 payloads may be overwritten. */
  readonly payloadAt: number;
  readonly payloadBytes: number;
  /** Weights that it was computed on, where the policy wants them; those in force when they are the same, or lost. */
  readonly pulledAt: number | undefined;
  /** Applied at once with these numbers; else it is added, and `first` says that nothing waits yet. */
  readonly update: UpdateNumbers | undefined;
  readonly first: boolean;
}

/** One update by the mean of the gradients that wait. */
export interface CloseCommand {
  readonly kind: "close";
  readonly gradients: number;
  readonly update: UpdateNumbers;
}

/** Copies the weights, as a pulled version or as what a member has. */
export interface KeepCommand {
  readonly kind: "keep";
  readonly at: number;
}

/** Encodes the weights. */
export interface EncodeCommand {
  readonly kind: "encode";
  readonly codec: Exclude<PullCodec, "int8Difference">;
  readonly at: number;
  readonly bytes: number;
}

/** Encodes what a member lacks, and brings the mirror of what it has up to what it will have. */
export interface EncodeDifferenceCommand {
  readonly kind: "encodeDifference";
  readonly mirrorAt: number;
  readonly at: number;
  readonly bytes: number;
}

/**
 * Copies the first of the slice's arrays (in the order of `stateOffsets`), one to each place, and the running size of a step:
 * its biased average and how many it has seen, as two float64.
 */
export interface SnapshotCommand {
  readonly kind: "snapshot";
  readonly arraysAt: readonly number[];
  readonly stepSizeAt: number;
}

/** The inverse: replaces all of the slice's arrays, and the running size of a step. */
export interface LoadCommand {
  readonly kind: "load";
  readonly arraysAt: readonly number[];
  readonly stepSize: { readonly average: number; readonly stepsSeen: number };
}
