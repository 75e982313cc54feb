import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BatchReader, createRandom, loadDataset } from "@downpour/datasets";
import { checkJob, type Job, loadOptionsOf } from "@downpour/job";
import type Sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { InputBatch, InputPipeline } from "./input-pipeline.ts";
import type { InputRequest } from "./input-service.ts";

// Seconds on a core of its own; a busy machine takes longer.
vi.setConfig({ testTimeout: 120_000 });

// The built one: its thread is a file of JavaScript beside it.
const built: typeof import("./input-pipeline.ts") = await import(
  new URL("../dist/input-pipeline.js", import.meta.url).href
);
const { InputPipeline: Pipeline } = built;

const folder = mkdtempSync(join(tmpdir(), "downpour-input-"));
const places = { cacheDirectory: join(folder, "cache"), dataDirectory: undefined };
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function jobOf(data: Record<string, unknown>): Job {
  const value = {
    name: "test",
    seed: 3,
    data: { batchSize: 8, validation: 10, ...data },
    model: { name: "mlp", hiddenUnits: [4] },
    optimizer: { name: "sgd" },
    learningRate: { initial: 0.1 },
    evaluation: { batchSize: 5 },
  };
  return checkJob(value, "the test");
}

/** 50 training examples in 7 batches of 8, the last one of 2; 10 for validation, 12 for the test. */
const digits = jobOf({
  set: { name: "digits", trainCount: 60, testCount: 12 },
  augmentation: { crop: { padding: 2 }, noise: { deviation: 0.1 } },
});

const batch = (index: number, epoch = 0): InputRequest => ({ kind: "training", epoch, batch: index });

/** What a reader in this process reads for a request. */
async function referenceReader(
  job: Job,
): Promise<(request: InputRequest) => Promise<Omit<InputBatch, "unreadable">>> {
  const dataset = await loadDataset(job.data.set, loadOptionsOf(job, places));
  const { seed, data } = job;
  const reader = new BatchReader(dataset, {
    seed,
    batchSize: data.batchSize,
    augmentation: data.augmentation,
  });
  const { height, width, channels, classNames } = dataset;
  const pixels = height * width * channels;
  return async (request) => {
    const into = { images: new Float32Array(8 * pixels), targets: new Float32Array(8 * classNames.length) };
    const { count } =
      request.kind === "training"
        ? await reader.readTraining(request, into)
        : await reader.readRun(dataset[request.split], request.begin, request.end, into);
    return {
      images: into.images.subarray(0, count * pixels),
      targets: into.targets.subarray(0, count * classNames.length),
      count,
    };
  };
}

/** The contents, out of shared memory. */
const copied = ({ images, targets, count }: Omit<InputBatch, "unreadable">) => ({
  images: Float32Array.from(images),
  targets: Float32Array.from(targets),
  count,
});

describe("InputPipeline", () => {
  let pipeline: InputPipeline;
  let reference: Awaited<ReturnType<typeof referenceReader>>;
  beforeAll(async () => {
    pipeline = await Pipeline.open(digits, places);
    reference = await referenceReader(digits);
    return async () => await pipeline.close();
  }, 60_000);

  it("knows the facts of the data set", () => {
    expect(pipeline.facts).toMatchObject({
      ...{ height: 28, width: 28, channels: 1 },
      data: { trainExamples: 50, validationExamples: 10, testExamples: 12 },
    });
    expect(pipeline.facts.classNames).toHaveLength(10);
  });

  it("gives the batches of a reader, with and without reading ahead, the short last one too", async () => {
    for (const ahead of [0, 1, 2, 5]) {
      for (let index = 0; index < 7; index++) {
        const next = Array.from({ length: ahead }, (_, i) => index + 1 + i).filter((each) => each < 7);
        const found = await pipeline.read(
          batch(index),
          next.map((each) => batch(each)),
        );
        expect(copied(found)).toEqual(copied(await reference(batch(index))));
        expect(found.unreadable).toEqual([]);
        expect(found.count).toBe(index < 6 ? 8 : 2);
      }
    }
  });

  it("lays batches where TensorFlow takes them without a copy", async () => {
    const { images, targets } = await pipeline.read(batch(0));
    for (const floats of [images, targets]) {
      expect(floats.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect(floats.byteOffset % 64).toBe(0);
    }
  });

  it("gives the right batch whatever was announced, and leaves it alone until the next call", async () => {
    const random = createRandom(2024);
    const some = (): InputRequest => {
      if (random.integer(4) > 0) return batch(random.integer(7), random.integer(2));
      const begin = random.integer(8);
      return {
        kind: "run",
        split: "validation",
        begin,
        end: begin + 1 + random.integer(Math.min(5, 10 - begin)),
      };
    };
    let announced: InputRequest[] = [];
    for (let step = 0; step < 120; step++) {
      // Half of the time something else than what was announced is asked for, at times the same again.
      const request = random.integer(2) === 0 ? (announced[0] ?? some()) : some();
      announced = Array.from({ length: random.integer(4) }, () =>
        random.integer(5) === 0 ? request : some(),
      );
      const found = await pipeline.read(request, announced);
      const expected = copied(await reference(request));
      expect(copied(found), `step ${step}`).toEqual(expected);
      // The thread fills other buffers meanwhile.
      await sleep(random.integer(4));
      expect(copied(found), `step ${step}, later`).toEqual(expected);
    }
  });

  it("gives a batch again that is asked for twice in a row", async () => {
    const first = copied(await pipeline.read(batch(3), [batch(3), batch(4)]));
    expect(copied(await pipeline.read(batch(3), [batch(3)]))).toEqual(first);
    expect(copied(await pipeline.read(batch(3)))).toEqual(first);
  });

  it("gives a split in runs, in its own order", async () => {
    const runs: unknown[] = [];
    for await (const run of pipeline.runs("test", 12, 5)) runs.push(copied(run));
    const request = (begin: number, end: number): InputRequest => ({
      kind: "run",
      split: "test",
      begin,
      end,
    });
    expect(runs).toEqual([
      copied(await reference(request(0, 5))),
      copied(await reference(request(5, 10))),
      copied(await reference(request(10, 12))),
    ]);
  });

  it("refuses a batch that there is not, with its code, and goes on", async () => {
    await expect(pipeline.read(batch(7), [batch(0)])).rejects.toMatchObject({
      code: "invalidArgument",
      message: expect.stringContaining("batch 7"),
    });
    // Announced ones fail when they are asked for, and not before.
    const found = await pipeline.read(batch(0), [batch(8), batch(1)]);
    expect(copied(found)).toEqual(copied(await reference(batch(0))));
    await expect(pipeline.read(batch(8), [batch(1)])).rejects.toThrow(/batch 8/);
    expect(copied(await pipeline.read(batch(1)))).toEqual(copied(await reference(batch(1))));
  });

  it("passes on why a data set can't be loaded, with its code", async () => {
    const job = jobOf({ set: { name: "mnist" }, download: false, directory: join(folder, "nothing") });
    const failed = await Pipeline.open(job, places).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: "notFound" });
    expect((failed as Error).message).toContain(join(folder, "nothing"));
  });

  it("reads nothing any more once it is closed, and says so", async () => {
    const other = await Pipeline.open(digits, places);
    await other.read(batch(0));
    const reading = other.read(batch(5));
    const ended = expect(reading).rejects.toThrow(/input thread ended/);
    await other.close();
    await ended;
    await expect(other.read(batch(1))).rejects.toThrow(/input thread ended/);
  });
});

describe("InputPipeline on image files", () => {
  const data = join(folder, "images");
  const job = jobOf({
    set: { name: "images", path: data, height: 8, width: 8 },
    normalization: { kind: "none" },
    validation: 2,
    batchSize: 4,
    augmentation: { flip: { horizontal: 0.5 } },
  });

  beforeAll(async () => {
    const sharp: typeof Sharp = createRequire(new URL("../../datasets/package.json", import.meta.url))(
      "sharp",
    );
    for (const [split, count] of [
      ["train", 7],
      ["test", 3],
    ] as const) {
      for (const [label, colour] of [
        ["bright", 200],
        ["dark", 50],
      ] as const) {
        mkdirSync(join(data, split, label), { recursive: true });
        for (let i = 0; i < count; i++) {
          const raw = Uint8Array.from({ length: 12 * 10 * 3 }, (_, at) => colour + ((at * 7 + i * 13) % 50));
          const png = await sharp(raw, { raw: { width: 12, height: 10, channels: 3 } })
            .png()
            .toBuffer();
          const broken = split === "test" && label === "dark" && i === 1;
          writeFileSync(join(data, split, label, `${i}.png`), broken ? png.subarray(0, 40) : png);
        }
      }
    }
  }, 60_000);

  it("gives the batches of a reader, and tells which image it could not read", async () => {
    const pipeline = await Pipeline.open(job, places);
    try {
      const reference = await referenceReader(job);
      for (const index of [2, 0, 1]) {
        const found = await pipeline.read(batch(index), [batch(1), batch(0)]);
        expect(copied(found)).toEqual(copied(await reference(batch(index))));
      }
      const whole: InputRequest = { kind: "run", split: "test", begin: 1, end: 6 };
      const found = await pipeline.read(whole);
      expect(copied(found)).toEqual(copied(await reference(whole)));
      expect(found.count).toBe(4);
      expect(found.targets).toHaveLength(8);
      expect(found.unreadable).toEqual([
        { name: expect.stringMatching(/dark.1\.png/), reason: expect.stringMatching(/\S/) },
      ]);
    } finally {
      await pipeline.close();
    }
  });
});
