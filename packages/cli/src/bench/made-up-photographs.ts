import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, type Random } from "@downpour/datasets";
import { encodeJpeg } from "./bare-sharp.ts";

/** As many as make a few batches of the usual size, in some seconds. */
const photographCount = 200;
const classCount = 4;
/** What most photographs of ImageNet measure. */
const width = 500;
const height = 375;

/** Writes seeded photographs, the same on every machine, as `train/<class>/<number>.jpg` below a folder. */
export async function writePhotographs(folder: string): Promise<void> {
  for (let label = 0; label < classCount; label++) {
    await mkdir(join(folder, "train", `class-${label}`), { recursive: true });
  }
  for (let i = 0; i < photographCount; i++) {
    const encoded = await encodeJpeg(paint(createRandom(i)), width, height);
    await writeFile(join(folder, "train", `class-${i % classCount}`, `${i}.jpg`), encoded);
  }
}

/** Shades that change smoothly, with some grain, so that a JPEG has about a photograph's bytes, some 90,000. */
function paint(random: Random): Uint8Array {
  const pixels = new Uint8Array(width * height * 3);
  const waves = Array.from({ length: 3 }, () => ({
    x: random.uniform() / 20,
    y: random.uniform() / 20,
    phase: random.uniform() * 2 * Math.PI,
  }));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const grain = random.integer(48) - 24;
      for (const [channel, wave] of waves.entries()) {
        const shade = Math.sin(wave.x * x + wave.y * y + wave.phase);
        pixels[(y * width + x) * 3 + channel] = 128 + 100 * shade + grain;
      }
    }
  }
  return pixels;
}
