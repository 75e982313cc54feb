import { createRandom } from "../random.ts";
import { createDrawingRoom, drawDigitInPlace } from "./digit-image.ts";
import { sidePixels } from "./draw.ts";

const pixelsPerImage = sidePixels * sidePixels;

/** The streams of examples: no example of one is an example of the other. */
const digitStreams = { train: 1, test: 2 } as const;
export type DigitStream = keyof typeof digitStreams;

/**
 * Draws examples begin..end (exclusive) of a stream into images (NHWC, one byte a pixel) and labels, at their own
 * positions. Example i is a function of (seed, stream, i) alone: a longer set starts with the shorter one.
 */
export function drawExamplesInPlace(
  images: Uint8Array,
  labels: Uint8Array,
  examples: { seed: number; stream: DigitStream; begin: number; end: number },
): void {
  const room = createDrawingRoom();
  for (let i = examples.begin; i < examples.end; i++) {
    const random = createRandom(examples.seed, digitStreams[examples.stream], i);
    const digit = random.integer(10);
    labels[i] = digit;
    drawDigitInPlace(images.subarray(i * pixelsPerImage, (i + 1) * pixelsPerImage), digit, random, room);
  }
}
