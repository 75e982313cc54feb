import { createHash } from "node:crypto";
import { DownpourError } from "@downpour/errors";

/** What a tensor is for; decides decay, codec, and whether gradients or statistics update it. */
export type TensorRole = "weight" | "bias" | "normScale" | "movingStatistic";

/** A tensor as the model describes it. */
export interface TensorSpec {
  readonly name: string;
  /** Sizes of the dimensions, outermost first. */
  readonly shape: readonly number[];
  readonly role: TensorRole;
  readonly trainable: boolean;
  /** Weight decay applies to it. */
  readonly decayed: boolean;
}

/** A tensor with its place in the parameter vector. */
export interface ManifestTensor extends TensorSpec {
  /** First element; a multiple of {@link alignment}. */
  readonly offset: number;
}

/** The ordered list of tensors that make up the parameter vector. */
export interface Manifest {
  readonly tensors: readonly ManifestTensor[];
  /** Elements of the parameter vector, padding included. */
  readonly length: number;
  /** SHA-256 over names, shapes, offsets, roles and flags; equal exactly when two manifests are. */
  readonly fingerprint: string;
}

/** Every tensor and slice begins at, and is padded to, a multiple of so many elements (64 bytes). */
export const alignment = 16;

/** Elements of a tensor of this shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The next multiple of {@link alignment}. */
export function alignUp(elements: number): number {
  return Math.ceil(elements / alignment) * alignment;
}

/**
 * Lays the tensors out one after the other, each padded to a multiple of 16 elements.
 *
 * @throws invalidArgument: two tensors of one name, a size that is no positive integer, or no tensor at all
 */
export function makeManifest(specs: readonly TensorSpec[]): Manifest {
  if (specs.length === 0) throw new DownpourError("invalidArgument", "the model has no weights to train");
  const names = new Set<string>();
  const tensors: ManifestTensor[] = [];
  let offset = 0;
  for (const spec of specs) {
    if (names.has(spec.name)) {
      throw new DownpourError("invalidArgument", `two tensors are named ${spec.name}; names must be unique`);
    }
    if (spec.shape.some((size) => !Number.isInteger(size) || size < 1)) {
      throw new DownpourError(
        "invalidArgument",
        `tensor ${spec.name} has shape [${spec.shape}]; sizes must be integers of at least 1`,
      );
    }
    names.add(spec.name);
    tensors.push({ ...spec, shape: [...spec.shape], offset });
    offset += alignUp(elementCount(spec.shape));
  }
  return { tensors, length: offset, fingerprint: fingerprintOf(tensors) };
}

function fingerprintOf(tensors: readonly ManifestTensor[]): string {
  const facts = tensors.map((t) => [t.name, t.shape, t.offset, t.role, t.trainable, t.decayed]);
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}
