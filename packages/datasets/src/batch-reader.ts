import { DownpourError } from "@downpour/errors";
import { type AugmentationSpec, augmentBatchInPlace, cropBoxOf } from "./augment/augment.ts";
import { batchRange } from "./batches.ts";
import type { Dataset, EncodedPixels, Split } from "./dataset.ts";
import { epochOrder } from "./epoch-order.ts";
import { createNormalizer, type NormalizeInto } from "./normalizer.ts";
import { createRandom } from "./random.ts";
import { type BoxOf, decodeExamples, type UnreadableExample } from "./read-encoded.ts";

/** Where a batch is written to. The buffers remain the caller's. */
export interface BatchBuffers {
  /** Normalised, NHWC: room for the examples asked for. */
  readonly images: Float32Array;
  /** Target distributions, [examples, classCount]; rows sum to 1. */
  readonly targets: Float32Array;
}

/** What was read. */
export interface BatchRead {
  /** Examples written, from the start of the buffers; those that cannot be read are left out. */
  readonly count: number;
  readonly unreadable: readonly UnreadableExample[];
}

export interface BatchReaderOptions {
  /** Decides the order of examples and their augmentation. A safe integer. */
  readonly seed: number;
  readonly batchSize: number;
  /** How training images are changed at random; undefined for not at all. */
  readonly augmentation: AugmentationSpec | undefined;
}

/** Which augmentation: that of an example (its position in the training split) is the same in every batch. */
interface AugmentationKey {
  readonly epoch: number;
  readonly batch: number;
}

/** A batch on its way from pixels to values. */
interface BatchInWork {
  readonly split: Split;
  /** Positions in the split, one a slot. */
  readonly examples: Uint32Array;
  /** Pixels, slot by slot. */
  readonly bytes: Uint8Array;
  readonly into: BatchBuffers;
  /** Undefined: not augmented. */
  readonly key: AugmentationKey | undefined;
}

/** Set the sequences of these uses apart from each other and from those of others with the same seed. */
const boxStream = 0xb0c5;
const imageStream = 0xa06e17;
const mixStream = 0x311f;

/**
 * Cuts a data set into the mini-batches of its seeded epochs, and its other splits into runs. A batch follows from
 * (data set, seed, batch size, augmentation, push id) alone, whoever reads it and after whatever. Reads may overlap,
 * each with buffers of its own; values past the examples written stay as they are.
 */
export class BatchReader {
  readonly dataset: Dataset;
  readonly #options: BatchReaderOptions;
  /** Of encoded images, which have their box cut out while they are decoded. */
  readonly #afterBox: AugmentationSpec | undefined;
  readonly #normalizeInto: NormalizeInto;
  readonly #valuesPerExample: number;
  /** Buffers for bytes that no read is using. */
  readonly #scratch: Uint8Array[] = [];
  #order: { epoch: number; examples: Uint32Array } | undefined;

  constructor(dataset: Dataset, options: BatchReaderOptions) {
    this.dataset = dataset;
    this.#options = options;
    this.#afterBox = options.augmentation && { ...options.augmentation, randomResizedCrop: undefined };
    this.#normalizeInto = createNormalizer(dataset);
    this.#valuesPerExample = dataset.height * dataset.width * dataset.channels;
  }

  /**
   * One mini-batch of the training split, by its push id: seeded order, augmented, normalised.
   *
   * @throws DownpourError `invalidArgument` if there is no such batch, or the buffers are too small
   */
  async readTraining(pushId: { epoch: number; batch: number }, into: BatchBuffers): Promise<BatchRead> {
    const { train } = this.dataset;
    const { seed, batchSize, augmentation } = this.#options;
    const { epoch, batch } = pushId;
    const { begin, end } = batchRange(batch, batchSize, train.exampleCount);
    if (this.#order?.epoch !== epoch) {
      this.#order = { epoch, examples: epochOrder(seed, epoch, train.exampleCount) };
    }
    const examples = this.#order.examples.subarray(begin, end);
    return await this.#read(train, examples, into, augmentation && { epoch, batch });
  }

  /**
   * Examples [begin, end) of a split in its own order, not augmented.
   *
   * @throws DownpourError `invalidArgument` if there are no such examples, or the buffers are too small
   */
  async readRun(split: Split, begin: number, end: number, into: BatchBuffers): Promise<BatchRead> {
    requireRun(begin, end, split.exampleCount);
    const examples = Uint32Array.from({ length: end - begin }, (_, i) => begin + i);
    return await this.#read(split, examples, into, undefined);
  }

  async #read(
    split: Split,
    examples: Uint32Array,
    into: BatchBuffers,
    key: AugmentationKey | undefined,
  ): Promise<BatchRead> {
    requireRoom("images", into.images.length, examples.length * this.#valuesPerExample);
    requireRoom("targets", into.targets.length, examples.length * this.dataset.classNames.length);
    const { pixels } = split;
    if (pixels.kind === "memory" && key === undefined) {
      this.#normalizeExamples(pixels.bytes, examples, into.images);
      this.#writeTargets(split, examples, into.targets);
      return { count: examples.length, unreadable: [] };
    }
    const bytes = this.#takeScratch(examples.length);
    try {
      if (pixels.kind === "memory") {
        this.#copyExamples(pixels.bytes, examples, bytes);
        this.#finish({ split, examples, bytes, into, key }, 0, examples.length);
        return { count: examples.length, unreadable: [] };
      }
      return await this.#readEncoded(pixels, { split, examples, bytes, into, key });
    } finally {
      this.#scratch.push(bytes);
    }
  }

  /**
   * Decodes a batch, and finishes each image as soon as those before it are, while others are still decoded: on many
   * cores, finishing them all at the end would let the decoders wait. What pairs examples has to wait for the last.
   */
  async #readEncoded(pixels: EncodedPixels, batch: BatchInWork): Promise<BatchRead> {
    const { examples, bytes, key } = batch;
    const length = this.#valuesPerExample;
    const pairs = this.#afterBox?.mixup !== undefined || this.#afterBox?.cutmix !== undefined;
    const early = key === undefined || !pairs;
    const decoded = new Set<number>();
    let finished = 0;
    const boxOf = key && this.#boxOf(examples, key.epoch);
    const failures = await decodeExamples(
      { pixels, format: this.dataset, examples, boxOf },
      (slot, image) => {
        bytes.set(image, slot * length);
        decoded.add(slot);
        const begin = finished;
        while (early && decoded.has(finished)) finished++;
        if (finished > begin) this.#finish(batch, begin, finished);
      },
    );
    const kept = failures.length === 0 ? examples : this.#closeGaps(failures, examples, bytes);
    this.#finish({ ...batch, examples: kept }, finished, kept.length);
    return { count: kept.length, unreadable: failures.map(({ unreadable }) => unreadable) };
  }

  /** Writes targets and images of the examples in slots [begin, end), whose pixels are there. */
  #finish({ split, examples, bytes, into, key }: BatchInWork, begin: number, end: number): void {
    if (begin === end) return;
    const length = this.#valuesPerExample;
    const classCount = this.dataset.classNames.length;
    const some = examples.subarray(begin, end);
    const targets = into.targets.subarray(begin * classCount, end * classCount);
    this.#writeTargets(split, some, targets);
    const spec = split.pixels.kind === "memory" ? this.#options.augmentation : this.#afterBox;
    if (spec !== undefined && key !== undefined) {
      this.#augment(spec, bytes.subarray(begin * length, end * length), some, targets, key);
    }
    this.#normalizeInto(bytes, begin * length, into.images, begin * length, end - begin);
  }

  #normalizeExamples(bytes: Uint8Array, examples: Uint32Array, images: Float32Array): void {
    const length = this.#valuesPerExample;
    for (let slot = 0; slot < examples.length; slot++) {
      this.#normalizeInto(bytes, (examples[slot] ?? 0) * length, images, slot * length, 1);
    }
  }

  #copyExamples(from: Uint8Array, examples: Uint32Array, to: Uint8Array): void {
    const length = this.#valuesPerExample;
    for (let slot = 0; slot < examples.length; slot++) {
      const begin = (examples[slot] ?? 0) * length;
      to.set(from.subarray(begin, begin + length), slot * length);
    }
  }

  /** Moves what was decoded to the start of `bytes`, in its order, and names the examples that are there. */
  #closeGaps(
    failures: readonly { readonly slot: number }[],
    examples: Uint32Array,
    bytes: Uint8Array,
  ): Uint32Array {
    const length = this.#valuesPerExample;
    const failed = new Set(failures.map(({ slot }) => slot));
    const slots = Array.from(examples.keys()).filter((slot) => !failed.has(slot));
    for (const [to, slot] of slots.entries()) {
      bytes.copyWithin(to * length, slot * length, (slot + 1) * length);
    }
    return Uint32Array.from(slots, (slot) => examples[slot] ?? 0);
  }

  #boxOf(examples: Uint32Array, epoch: number): BoxOf | undefined {
    const { augmentation, seed } = this.#options;
    if (augmentation?.randomResizedCrop === undefined) return undefined;
    return (slot, { width, height }) =>
      cropBoxOf(augmentation, createRandom(boxStream, seed, epoch, examples[slot] ?? 0), width, height);
  }

  #augment(
    spec: AugmentationSpec,
    pixels: Uint8Array,
    examples: Uint32Array,
    targets: Float32Array,
    { epoch, batch }: AugmentationKey,
  ): void {
    const { seed } = this.#options;
    const { height, width, channels, classNames } = this.dataset;
    const images = { pixels, height, width, channels, count: examples.length };
    augmentBatchInPlace(spec, images, targets, classNames.length, (slot) =>
      slot < 0
        ? createRandom(mixStream, seed, epoch, batch)
        : createRandom(imageStream, seed, epoch, examples[slot] ?? 0),
    );
  }

  /** One-hot. */
  #writeTargets({ labels }: Split, examples: Uint32Array, targets: Float32Array): void {
    const classCount = this.dataset.classNames.length;
    targets.fill(0, 0, examples.length * classCount);
    for (let slot = 0; slot < examples.length; slot++) {
      targets[slot * classCount + (labels[examples[slot] ?? 0] ?? 0)] = 1;
    }
  }

  #takeScratch(exampleCount: number): Uint8Array {
    const needed = exampleCount * this.#valuesPerExample;
    const free = this.#scratch.pop();
    return free !== undefined && free.length >= needed ? free : new Uint8Array(needed);
  }
}

function requireRoom(name: string, actual: number, needed: number): void {
  if (actual >= needed) return;
  throw new DownpourError(
    "invalidArgument",
    `${name} has room for ${actual} values, but the batch needs ${needed}`,
    { facts: { actual, needed } },
  );
}

function requireRun(begin: number, end: number, exampleCount: number): void {
  const inOrder = begin >= 0 && begin <= end && end <= exampleCount;
  if (inOrder && Number.isInteger(begin) && Number.isInteger(end)) return;
  throw new DownpourError(
    "invalidArgument",
    `examples ${begin} to ${end} do not exist: the split has examples 0 to ${exampleCount - 1}`,
    { facts: { begin, end, exampleCount } },
  );
}
