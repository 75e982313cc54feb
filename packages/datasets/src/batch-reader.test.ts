import sharp from "sharp";
import { expect, test } from "vitest";
import type { AugmentationSpec } from "./augment/augment.ts";
import { BatchReader } from "./batch-reader.ts";
import type { Dataset, Split } from "./dataset.ts";
import { epochOrder } from "./epoch-order.ts";

const shape = { height: 6, width: 6, channels: 3 };
const valuesPerExample = 108;

function datasetOf(train: Split): Dataset {
  const empty: Split = {
    exampleCount: 0,
    labels: Uint8Array.of(),
    pixels: { kind: "memory", bytes: Uint8Array.of() },
  };
  return {
    ...shape,
    name: "made",
    classNames: ["a", "b", "c"],
    train,
    validation: empty,
    test: empty,
    normalization: { kind: "perChannel", mean: [0, 0, 0], deviation: [1 / 255, 1 / 255, 1 / 255] },
    fingerprint: "",
  };
}

/** Example i has the byte 10 * i + 1 in its upper left corner; pixels rise from there. Its class is i % 3. */
function memoryDataset(exampleCount: number): Dataset {
  const bytes = Uint8Array.from({ length: exampleCount * valuesPerExample }, (_, i) => {
    return 10 * Math.floor(i / valuesPerExample) + 1 + ((i % valuesPerExample) % 9);
  });
  const labels = Uint8Array.from({ length: exampleCount }, (_, i) => i % 3);
  return datasetOf({ exampleCount, labels, pixels: { kind: "memory", bytes } });
}

/** Noise at 16 x 12, as PNG; those in `broken` cannot be read. */
async function encodedDataset(exampleCount: number, broken: readonly number[] = []): Promise<Dataset> {
  const files = await Promise.all(
    Array.from({ length: exampleCount }, (_, example) => {
      const raw = Uint8Array.from({ length: 16 * 12 * 3 }, (_, i) => (i * 37 + example * 101) % 251);
      return sharp(raw, { raw: { width: 16, height: 12, channels: 3 } })
        .png()
        .toBuffer();
    }),
  );
  return datasetOf({
    exampleCount,
    labels: Uint8Array.from({ length: exampleCount }, (_, i) => i % 3),
    pixels: {
      kind: "encoded",
      readEncoded: async (example) => {
        const file = files[example] ?? Buffer.of();
        if (!broken.includes(example)) return file;
        if (example % 2 === 0) throw new Error("the disk is on fire");
        return file.subarray(0, 60);
      },
      nameOf: (example) => `image ${example}`,
    },
  });
}

const buffersFor = (examples: number) => ({
  images: new Float32Array(examples * valuesPerExample).fill(-1),
  targets: new Float32Array(examples * 3).fill(-1),
});

const readerOf = (dataset: Dataset, augmentation?: AugmentationSpec, seed = 7) =>
  new BatchReader(dataset, { seed, batchSize: 4, augmentation });

async function read(reader: BatchReader, epoch: number, batch: number) {
  const into = buffersFor(4);
  return { ...into, ...(await reader.readTraining({ epoch, batch }, into)) };
}

const everything: AugmentationSpec = {
  randomResizedCrop: { scale: [0.2, 1], ratio: [0.75, 1.33] },
  crop: { padding: 2, fill: "zero" },
  flip: { horizontal: 0.5, vertical: 0.5 },
  noise: { deviation: 0.05 },
  mixup: { alpha: 0.4 },
  labelSmoothing: 0.1,
};

test("the batches of an epoch hold every example once, in the epoch's order, normalised and one-hot", async () => {
  const reader = readerOf(memoryDataset(10));
  const seen: number[] = [];
  for (let batch = 0; batch < 3; batch++) {
    const { images, targets, count, unreadable } = await read(reader, 2, batch);
    expect(count).toBe(batch < 2 ? 4 : 2);
    expect(unreadable).toEqual([]);
    for (let slot = 0; slot < count; slot++) {
      const example = Math.round(((images[slot * valuesPerExample] ?? 0) - 1) / 10);
      seen.push(example);
      expect(images[slot * valuesPerExample + 8]).toBeCloseTo(10 * example + 9, 3);
      const row = [0, 0, 0];
      row[example % 3] = 1;
      expect([...targets.subarray(3 * slot, 3 * slot + 3)]).toEqual(row);
    }
  }
  expect(seen).toEqual([...epochOrder(7, 2, 10)]);
});

test("a short batch leaves the rest of the buffers as it was", async () => {
  const { images, targets } = await read(readerOf(memoryDataset(10)), 0, 2);
  expect(new Set(images.subarray(2 * valuesPerExample))).toEqual(new Set([-1]));
  expect(new Set(targets.subarray(6))).toEqual(new Set([-1]));
});

test.each([
  ["in memory", async () => memoryDataset(10)],
  ["encoded", () => encodedDataset(10, [3])],
])(
  "a batch of images %s depends on seed and push id alone, not on who reads it or after what",
  async (_, make) => {
    const dataset = await make();
    const first = readerOf(dataset, everything);
    const batches = [];
    for (const batch of [0, 1, 2]) batches.push(await read(first, 1, batch));
    const second = readerOf(dataset, everything);
    await read(second, 0, 0);
    for (const batch of [2, 0, 1]) expect(await read(second, 1, batch)).toEqual(batches[batch]);
    expect(await read(second, 2, 0)).not.toEqual(batches[0]);
    expect(await read(readerOf(dataset, everything, 8), 1, 0)).not.toEqual(batches[0]);
  },
);

test.each([
  ["in memory", async () => memoryDataset(10)],
  ["encoded", () => encodedDataset(10)],
])("reads of images %s that overlap give what they give one by one", async (_, make) => {
  const reader = readerOf(await make(), everything);
  const together = await Promise.all([0, 1, 2].map((batch) => read(reader, 0, batch)));
  for (const [batch, expected] of together.entries()) expect(await read(reader, 0, batch)).toEqual(expected);
});

test("an example is augmented alike whatever the batch size", async () => {
  const dataset = memoryDataset(8);
  const { mixup: _, ...alone } = everything;
  const whole = buffersFor(8);
  const options = { seed: 7, augmentation: alone };
  await new BatchReader(dataset, { ...options, batchSize: 8 }).readTraining({ epoch: 0, batch: 0 }, whole);
  const half = await read(new BatchReader(dataset, { ...options, batchSize: 4 }), 0, 1);
  expect(half.images).toEqual(whole.images.slice(4 * valuesPerExample));
});

test("augmentation changes training batches, and no run", async () => {
  const dataset = await encodedDataset(4);
  const plain = readerOf(dataset);
  const augmented = readerOf(dataset, everything);
  expect((await read(augmented, 0, 0)).images).not.toEqual((await read(plain, 0, 0)).images);
  const [a, b] = [buffersFor(4), buffersFor(4)];
  await plain.readRun(dataset.train, 0, 4, a);
  await augmented.readRun(dataset.train, 0, 4, b);
  expect(b).toEqual(a);
});

test("a random resized crop of an encoded image is cut from the whole image, once", async () => {
  const dataset = await encodedDataset(4);
  const crop = { randomResizedCrop: { scale: [1, 1], ratio: [16 / 12, 16 / 12] } } as const;
  const { images } = await read(readerOf(dataset, crop), 0, 0);
  const { pixels } = dataset.train;
  if (pixels.kind !== "encoded") throw new Error("not encoded");
  const [example = 0] = epochOrder(7, 0, 4);
  const squeezed = sharp(await pixels.readEncoded(example)).resize(6, 6, { fit: "fill" });
  const expected = await squeezed.raw().toBuffer();
  for (const [i, byte] of expected.entries()) expect(images[i]).toBeCloseTo(byte, 2);
});

test("unreadable examples are left out, the others close up in their order, and the reasons are told", async () => {
  const intact = await encodedDataset(8);
  const dataset = await encodedDataset(8, [2, 5]);
  const into = buffersFor(8);
  const { count, unreadable } = await readerOf(dataset).readRun(dataset.train, 0, 8, into);
  expect(count).toBe(6);
  expect(unreadable).toEqual([
    { name: "image 2", reason: "the disk is on fire" },
    { name: "image 5", reason: expect.stringMatching(/\S/) },
  ]);
  const all = buffersFor(8);
  await readerOf(intact).readRun(intact.train, 0, 8, all);
  for (const [slot, example] of [0, 1, 3, 4, 6, 7].entries()) {
    const at = (from: Float32Array, i: number, length: number) => [
      ...from.subarray(i * length, (i + 1) * length),
    ];
    expect(at(into.images, slot, valuesPerExample)).toEqual(at(all.images, example, valuesPerExample));
    expect(at(into.targets, slot, 3)).toEqual(at(all.targets, example, 3));
  }
  expect(new Set(into.images.subarray(6 * valuesPerExample))).toEqual(new Set([-1]));
});

test("a batch in which nothing can be read has 0 examples, with augmentation as well", async () => {
  const dataset = await encodedDataset(4, [0, 1, 2, 3]);
  for (const augmentation of [undefined, everything]) {
    const { count, unreadable } = await read(readerOf(dataset, augmentation), 0, 0);
    expect(count).toBe(0);
    expect(unreadable).toHaveLength(4);
  }
});

test("targets stay distributions under mixup and label smoothing", async () => {
  const { targets } = await read(readerOf(memoryDataset(8), everything), 0, 0);
  for (let slot = 0; slot < 4; slot++) {
    const row = targets.subarray(3 * slot, 3 * slot + 3);
    expect(row.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
    expect(Math.min(...row)).toBeGreaterThan(0.03);
  }
});

test("buffers that are too small, and batches and runs that do not exist, are refused with the numbers", async () => {
  const dataset = memoryDataset(10);
  const reader = readerOf(dataset);
  const small = { images: new Float32Array(431), targets: new Float32Array(12) };
  await expect(reader.readTraining({ epoch: 0, batch: 0 }, small)).rejects.toThrow(/images.*431.*432/);
  const narrow = { images: new Float32Array(432), targets: new Float32Array(11) };
  await expect(reader.readTraining({ epoch: 0, batch: 0 }, narrow)).rejects.toThrow(/targets.*11.*12/);
  await expect(reader.readTraining({ epoch: 0, batch: 3 }, buffersFor(4))).rejects.toThrow(/batch 3/);
  await expect(reader.readRun(dataset.train, 8, 11, buffersFor(4))).rejects.toThrow(/8 to 11.*0 to 9/);
});
