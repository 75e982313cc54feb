import sharp from "sharp";
import { expect, test } from "vitest";
import { decodeImage, imageSizeOf, reasonOf } from "./decode.ts";

const color = { height: 8, width: 8, channels: 3 };
const grey = { ...color, channels: 1 };

/** Red on the left, blue on the right. */
function twoHalves(width: number, height: number, background = "red") {
  const right = sharp({ create: { width: width / 2, height, channels: 3, background: "blue" } }).png();
  return right.toBuffer().then((input) =>
    sharp({ create: { width, height, channels: 3, background } })
      .composite([{ input, left: width / 2, top: 0 }])
      .png()
      .toBuffer(),
  );
}

const pixelsOf = (image: Uint8Array, channels = 3) =>
  Array.from({ length: image.length / channels }, (_, i) => [
    ...image.subarray(i * channels, (i + 1) * channels),
  ]);

/** The kernel of resizing reaches a little beyond a border. */
function expectColor(pixel: readonly number[], expected: readonly number[]): void {
  for (const [i, value] of expected.entries()) expect(Math.abs((pixel[i] ?? -99) - value)).toBeLessThan(6);
}

test("an image is resized until it covers the size, and its middle is cut out", async () => {
  // 64 x 16 covers 8 x 8 as 32 x 8: columns 12 to 19, so that the border is in the middle.
  const pixels = pixelsOf(await decodeImage(await twoHalves(64, 16), { ...color, resize: 1 }));
  expect(pixels).toHaveLength(64);
  for (let row = 0; row < 8; row++) {
    expect(pixels[8 * row]).toEqual([255, 0, 0]);
    expect(pixels[8 * row + 7]).toEqual([0, 0, 255]);
  }
});

test("resize says how much of the image is seen: a frame of a quarter on each side is cut off by 2", async () => {
  const middle = await sharp({ create: { width: 64, height: 64, channels: 3, background: "lime" } })
    .png()
    .toBuffer();
  const framed = await sharp(middle)
    .extend({ top: 32, bottom: 32, left: 32, right: 32, background: "red" })
    .png()
    .toBuffer();
  const seen = async (resize: number) => pixelsOf(await decodeImage(framed, { ...color, resize }));
  expect((await seen(1))[0]).toEqual([255, 0, 0]);
  for (const pixel of (await seen(2.5)).slice(9, 15)) expectColor(pixel, [0, 255, 0]);
});

test("a box is cut out before resizing, by either way to it", async () => {
  const image = await twoHalves(400, 200);
  const size = { width: 400, height: 200 };
  for (const box of [
    { left: 300, top: 10, width: 20, height: 20 },
    { left: 220, top: 0, width: 180, height: 200 },
  ]) {
    for (const known of [size, undefined]) {
      const pixels = pixelsOf(await decodeImage(image, color, { box, size: known }));
      for (const pixel of pixels) expectColor(pixel, [0, 0, 255]);
    }
  }
  const across = { left: 100, top: 0, width: 200, height: 200 };
  const quick = await decodeImage(image, color, { box: across, size });
  const plain = await decodeImage(image, color, { box: across });
  for (const [i, byte] of quick.entries()) expect(Math.abs(byte - (plain[i] ?? 0))).toBeLessThan(16);
});

test("the EXIF rotation is applied, to the size and to boxes as well", async () => {
  // Orientation 6: the left of the file is the top of the picture.
  const turned = await sharp(await twoHalves(64, 32))
    .withMetadata({ orientation: 6 })
    .png()
    .toBuffer();
  expect(await imageSizeOf(turned)).toEqual({ width: 32, height: 64 });
  const pixels = pixelsOf(await decodeImage(turned, { ...color, resize: 1, height: 16, width: 8 }));
  expect(pixels[0]).toEqual([255, 0, 0]);
  expect(pixels.at(-1)).toEqual([0, 0, 255]);
  const top = { left: 0, top: 0, width: 32, height: 30 };
  for (const pixel of pixelsOf(await decodeImage(turned, color, { box: top })))
    expect(pixel).toEqual([255, 0, 0]);
});

test("grey images become colour and colour images grey, 16 bits become 8, and alpha lies over black", async () => {
  const flat = (channels: 3 | 4, background: object) =>
    sharp({ create: { width: 16, height: 16, channels, background: background as { r: number } } });
  const white = flat(3, { r: 200, g: 200, b: 200 });
  const greyFile = await white.clone().toColourspace("b-w").jpeg().toBuffer();
  expect(pixelsOf(await decodeImage(greyFile, color))[0]).toEqual([200, 200, 200]);
  expect((await decodeImage(greyFile, grey)).length).toBe(64);
  const green = await flat(3, { r: 0, g: 255, b: 0 }).png().toBuffer();
  const luminance = (await decodeImage(green, grey))[0] ?? 0;
  expect(luminance).toBeGreaterThan(140);
  expect(luminance).toBeLessThan(240);
  const deep = await white.clone().toColourspace("rgb16").png().toBuffer();
  for (const byte of pixelsOf(await decodeImage(deep, color))[0] ?? [])
    expect(Math.abs(byte - 200)).toBeLessThan(2);
  const clear = await flat(4, { r: 255, g: 255, b: 255, alpha: 0 }).png().toBuffer();
  expect(pixelsOf(await decodeImage(clear, color))[0]).toEqual([0, 0, 0]);
});

test("an image that is cut off, empty or none is refused with a reason of one line", async () => {
  const jpeg = await sharp(await twoHalves(128, 128))
    .jpeg()
    .toBuffer();
  const refusal = async (bytes: Uint8Array) =>
    reasonOf(await decodeImage(bytes, color).catch((error: unknown) => error));
  expect(await refusal(jpeg.subarray(0, jpeg.length - 30))).toMatch(/premature end/);
  expect(await refusal(jpeg.subarray(0, 100))).toMatch(/corrupt header|premature/);
  expect(await refusal(Buffer.of())).toMatch(/empty/);
  expect(await refusal(Buffer.from("some text"))).toMatch(/unsupported/);
  for (const bytes of [jpeg.subarray(0, 200), Buffer.of()]) expect(await refusal(bytes)).not.toContain("\n");
});

test("bytes after the end of a JPEG hurt nobody", async () => {
  const jpeg = await sharp(await twoHalves(64, 64))
    .jpeg()
    .toBuffer();
  expect(await decodeImage(Buffer.concat([jpeg, Buffer.from("junk")]), color)).toEqual(
    await decodeImage(jpeg, color),
  );
});
