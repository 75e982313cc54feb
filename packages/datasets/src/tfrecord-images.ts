import { DownpourError } from "@downpour/errors";
import { openDataFile, type PixelRoom, requireDecodableChannels, unreadableError } from "./data-files.ts";
import type { ImageShape, PixelSource } from "./dataset.ts";
import { type RecordPlace, recordError } from "./tfrecord-frames.ts";

/** What becomes of the images of a split, one after the other. */
export interface ImageCollector {
  /**
   * @param image valid during the call
   * @param offset of the image's first byte in the record's file
   * @throws DownpourError `corruptData` for an image of another form than the first; `resourceExhausted`
   */
  add(image: Uint8Array, offset: number, place: RecordPlace): void;
  source(): PixelSource;
}

/** First bytes of the formats that are decoded: JPEG, PNG, GIF, and RIFF for WebP. */
const signatures = ["ffd8ff", "89504e470d0a1a0a", "47494638", "52494646"];
const signatureBytesMax = 8;

/**
 * Whether the first image of a split is raw pixels, which have a size of their own, or encoded.
 *
 * @throws DownpourError `corruptData` if it is neither; `usage` for encoded images of other than 1 or 3 channels
 */
export function isRawImage(
  image: Buffer,
  { height, width, channels }: ImageShape,
  place: RecordPlace,
): boolean {
  const start = image.toString("hex", 0, signatureBytesMax);
  if (signatures.some((signature) => start.startsWith(signature))) {
    requireDecodableChannels(channels, "tfrecord");
    return false;
  }
  const rawBytes = height * width * channels;
  if (image.length === rawBytes) return true;
  throw recordError(
    place,
    `has an image of ${image.length} bytes that start with 0x${start}, expected a JPEG, PNG, GIF or WebP, or the ` +
      `${rawBytes} bytes of ${height} x ${width} x ${channels} raw pixels`,
    "correct height, width and channels, or name the right feature with imageKey",
  );
}

/** Raw pixels, kept in memory. */
export function collectRaw(room: PixelRoom, { height, width, channels }: ImageShape): ImageCollector {
  const rawBytes = height * width * channels;
  return {
    add(image, _offset, place) {
      if (image.length === rawBytes) return room.next().set(image);
      throw recordError(
        place,
        `has an image of ${image.length} bytes, expected ${rawBytes} raw pixels (${height} x ${width} x ` +
          `${channels}) as in the records before`,
        "write all images of a split in one form and size",
      );
    },
    source: () => ({ kind: "memory", bytes: room.taken() }),
  };
}

/**
 * Encoded images, left where they are: two numbers an image are kept. Each read opens its file and closes it, so
 * that nothing stays open.
 */
export function collectEncoded(): ImageCollector {
  const files: { readonly path: string; readonly firstExample: number }[] = [];
  const offsets: number[] = [];
  const lengths: number[] = [];

  function locate(example: number) {
    const file = files.findLast(({ firstExample }) => firstExample <= example);
    const offset = offsets[example];
    const length = lengths[example];
    if (file !== undefined && offset !== undefined && length !== undefined)
      return { ...file, offset, length };
    throw new DownpourError("internal", `there is no example ${example} in a split of ${offsets.length}`);
  }

  return {
    add(image, offset, place) {
      if (image.length === 0) {
        throw recordError(
          place,
          "has an image of 0 bytes, expected an encoded image",
          "leave the record out",
        );
      }
      if (files.at(-1)?.path !== place.path) files.push({ path: place.path, firstExample: offsets.length });
      offsets.push(offset);
      lengths.push(image.length);
    },
    source: () => ({
      kind: "encoded",
      async readEncoded(example) {
        const { path, offset, length } = locate(example);
        return await readRange(path, offset, length);
      },
      nameOf(example) {
        const { path, firstExample } = locate(example);
        return `${path}, record ${example - firstExample}`;
      },
    }),
  };
}

async function readRange(path: string, offset: number, length: number): Promise<Uint8Array> {
  const handle = await openDataFile(path);
  try {
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle
        .read(bytes, done, length - done, offset + done)
        .catch((cause: unknown) => {
          throw unreadableError(path, cause);
        });
      if (bytesRead === 0) throw shrunkError(path, offset, length, done);
      done += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}

function shrunkError(path: string, offset: number, length: number, foundBytes: number): DownpourError {
  return new DownpourError(
    "corruptData",
    `${path} has ${foundBytes} bytes at byte ${offset}, but had an image of ${length} there when it was checked: ` +
      "leave data files alone while a job runs, and start it again",
    { facts: { path, offset, length, foundBytes } },
  );
}
