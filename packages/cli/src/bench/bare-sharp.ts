import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/*
 * The image library that the data sets are read with, as it is: what their reader is compared with has to be the
 * same copy of it.
 */

/** The part of sharp that is used here. */
interface SharpImage {
  resize(width: number, height: number, options: { readonly fit: "cover" }): SharpImage;
  toColourspace(space: "srgb" | "b-w"): SharpImage;
  jpeg(options: { readonly quality: number }): SharpImage;
  raw(): SharpImage;
  toBuffer(): Promise<Buffer>;
}

interface RawImage {
  readonly raw: { readonly width: number; readonly height: number; readonly channels: 3 };
}

type Sharp = (bytes: Uint8Array, options?: RawImage) => SharpImage;

const datasets = fileURLToPath(import.meta.resolve("@downpour/datasets"));
const sharp = createRequire(datasets)("sharp") as Sharp;

/** Decodes an image and resizes it until it covers height and width; what hangs over is cut off. */
export async function decodeAndResize(
  encoded: Uint8Array,
  { height, width, channels }: { readonly height: number; readonly width: number; readonly channels: number },
): Promise<Uint8Array> {
  const image = sharp(encoded).resize(width, height, { fit: "cover" });
  return await image
    .toColourspace(channels === 1 ? "b-w" : "srgb")
    .raw()
    .toBuffer();
}

/** Encodes pixels, HWC, as a JPEG. */
export async function encodeJpeg(pixels: Uint8Array, width: number, height: number): Promise<Uint8Array> {
  return await sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 90 })
    .toBuffer();
}
