import { availableParallelism } from "node:os";
import type { Box } from "./augment/box.ts";
import type { EncodedPixels } from "./dataset.ts";
import { type DecodedFormat, decodeImage, type ImageSize, imageSizeOf, reasonOf } from "./decode.ts";

/** An example that could not be read, or decoded. */
export interface UnreadableExample {
  /** Path, or file and record. */
  readonly name: string;
  readonly reason: string;
}

/** Images read and decoded at once by one call; libuv's pool has 4 threads unless UV_THREADPOOL_SIZE says more. */
const decodesAtOnce = Math.max(2, availableParallelism());

/** Box to cut from the example in a slot before resizing; undefined for the whole image. */
export type BoxOf = (slot: number, size: ImageSize) => Box | undefined;

/** What {@link decodeExamples} is to read. */
export interface DecodeRequest {
  readonly pixels: EncodedPixels;
  readonly format: DecodedFormat;
  /** Positions in the split, one a slot. */
  readonly examples: ArrayLike<number>;
  /** Left out, images are brought to size as evaluation does it. */
  readonly boxOf?: BoxOf | undefined;
}

/**
 * Reads and decodes examples, several at once, and hands each image over as it is ready, in any order.
 *
 * @param receive called with a slot and its height * width * channels bytes
 * @returns slot and reason of what could not be read, in the order of slots
 */
export async function decodeExamples(
  request: DecodeRequest,
  receive: (slot: number, image: Uint8Array) => void,
): Promise<{ slot: number; unreadable: UnreadableExample }[]> {
  const { pixels, examples } = request;
  const failures: { slot: number; unreadable: UnreadableExample }[] = [];
  let next = 0;
  const decodeSome = async (): Promise<void> => {
    while (next < examples.length) {
      const slot = next++;
      const example = examples[slot] ?? 0;
      const image = await decodeExample(request, slot, example);
      if (image instanceof Uint8Array) receive(slot, image);
      else
        failures.push({ slot, unreadable: { name: pixels.nameOf(example), reason: reasonOf(image.error) } });
    }
  };
  await Promise.all(Array.from({ length: Math.min(decodesAtOnce, examples.length) }, decodeSome));
  return failures.sort((a, b) => a.slot - b.slot);
}

async function decodeExample(
  { pixels, format, boxOf }: DecodeRequest,
  slot: number,
  example: number,
): Promise<Uint8Array | { error: unknown }> {
  let encoded: Uint8Array;
  let size: ImageSize | undefined;
  try {
    encoded = await pixels.readEncoded(example);
    size = boxOf && (await imageSizeOf(encoded));
  } catch (error) {
    return { error };
  }
  const box = size && boxOf?.(slot, size);
  try {
    return await decodeImage(encoded, format, { box, size });
  } catch (error) {
    return { error };
  }
}
