import { messageOf } from "@downpour/errors";
import sharp, { type Sharp } from "sharp";
import type { Box } from "./augment/box.ts";
import type { ImageShape } from "./dataset.ts";

// Parallelism comes from decoding several images at once, and no image is decoded twice in a row.
sharp.concurrency(1);
sharp.cache(false);

/** 256/224, as the evaluation of ImageNet models resizes (He et al., "Deep residual learning", 2016). */
export const resizeDefault = 256 / 224;

/** What encoded images are brought to. */
export interface DecodedFormat extends ImageShape {
  /** At least 1; see {@link decodeImage}. */
  readonly resize?: number | undefined;
}

/** Width and height of an image as it is seen, in pixels. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Size from the header alone, EXIF rotation taken into account. Rejects where there is no image. */
export async function imageSizeOf(encoded: Uint8Array): Promise<ImageSize> {
  const { autoOrient } = await sharp(encoded).metadata();
  return autoOrient;
}

/**
 * Decodes a JPEG or PNG: EXIF rotation applied, transparency over black, converted to sRGB (3 channels) or grey (1).
 *
 * Without a box, the image is resized until it covers `resize` times the wanted height and width, and its middle is
 * cut out; with the default and a square this is the usual "shorter side to size / 0.875, centre crop". With a
 * box, that part of the image is resized to the wanted size.
 *
 * @param size of the image; allows a quicker way to a box that is many times larger than the wanted size
 * @returns height * width * channels bytes, HWC
 * @throws whatever the decoder has to say of an image that is broken or cut off
 */
export async function decodeImage(
  encoded: Uint8Array,
  format: DecodedFormat,
  { box, size }: { box?: Box | undefined; size?: ImageSize | undefined } = {},
): Promise<Uint8Array> {
  const { height, width, channels } = format;
  // Warnings are about bytes that hurt nobody; ImageNet has such files.
  const image = sharp(encoded, { failOn: "error" }).autoOrient();
  if (box === undefined) resizeAndCutMiddle(image, format);
  else if (size !== undefined && isMuchLarger(box, format)) resizeAndCutBox(image, format, box, size);
  else image.extract(box).resize(width, height, { fit: "fill" });
  const decoded = image.flatten().toColourspace(channels === 1 ? "b-w" : "srgb");
  const { data } = await decoded.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  const expected = height * width * channels;
  if (data.length === expected) return data;
  throw new Error(
    `it decodes to ${data.length} bytes, expected ${height} x ${width} x ${channels} = ${expected}`,
  );
}

function resizeAndCutMiddle(image: Sharp, format: DecodedFormat): void {
  const { height, width, resize = resizeDefault } = format;
  const coverWidth = Math.round(width * resize);
  const coverHeight = Math.round(height * resize);
  image.resize(coverWidth, coverHeight, { fit: "cover", position: "centre" });
  if (coverWidth === width && coverHeight === height) return;
  const left = Math.floor((coverWidth - width) / 2);
  const top = Math.floor((coverHeight - height) / 2);
  image.extract({ left, top, width, height });
}

/** A box so many times larger than the wanted size, both ways, is cut out after resizing. */
const shrinkAtLeast = 4;

function isMuchLarger(box: Box, { width, height }: ImageShape): boolean {
  return Math.min(box.width / width, box.height / height) >= shrinkAtLeast;
}

/** Since a JPEG that is resized as a whole is decoded at a fraction of its size: half the time for large photographs. */
function resizeAndCutBox(image: Sharp, { width, height }: ImageShape, box: Box, size: ImageSize): void {
  const wholeWidth = Math.max(width, Math.round((size.width * width) / box.width));
  const wholeHeight = Math.max(height, Math.round((size.height * height) / box.height));
  const left = Math.min(wholeWidth - width, Math.round((box.left * width) / box.width));
  const top = Math.min(wholeHeight - height, Math.round((box.top * height) / box.height));
  image.resize(wholeWidth, wholeHeight, { fit: "fill" }).extract({ left, top, width, height });
}

/** One line that says why an image could not be read. */
export function reasonOf(error: unknown): string {
  return messageOf(error).trim().split("\n")[0] || "unknown error";
}
