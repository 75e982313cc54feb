import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";

const size = 32;

/** Shapes as SVG, around a centre. */
const shapes = {
  circle: (x, y, r) => `<circle cx="${x}" cy="${y}" r="${r}"/>`,
  square: (x, y, r) => `<rect x="${x - r}" y="${y - r}" width="${2 * r}" height="${2 * r}"/>`,
  triangle: (x, y, r) => `<polygon points="${x},${y - r} ${x + r},${y + r} ${x - r},${y + r}"/>`,
};

/**
 * Writes `count` training images of each class, and a quarter as many test images, as an image folder.
 * Places, sizes and greys differ from image to image, and are the same each time.
 */
export async function makeData(folder, count) {
  let state = 1;
  // A linear congruential generator, so that the data can be made again.
  const between = (low, high) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return low + ((high - low) * state) / 2 ** 32;
  };
  for (const [split, images] of Object.entries({ train: count, test: Math.ceil(count / 4) })) {
    for (const [name, draw] of Object.entries(shapes)) {
      await mkdir(join(folder, split, name), { recursive: true });
      for (let i = 0; i < images; i++) {
        const shape = draw(between(11, 21), between(11, 21), between(6, 10));
        const grey = Math.round(between(120, 255));
        const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"><rect width="100%" height="100%"/><g fill="rgb(${grey},${grey},${grey})">${shape}</g></svg>`;
        await writeFile(
          join(folder, split, name, `${i}.png`),
          await sharp(Buffer.from(svg)).png().toBuffer(),
        );
      }
    }
  }
}
