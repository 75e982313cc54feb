import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkJob, type Device, type Job, type JobInput } from "@downpour/job";
import { elementCount } from "@downpour/parameter-vector";
import { afterAll, describe, expect, it } from "vitest";
import type { Prepared } from "./compute.ts";
import { plainLayers, relativeDistance } from "./network.test.suite.ts";

// The built one: its input thread is a file of JavaScript beside it.
const built: typeof import("./tfjs-compute.ts") = await import(
  new URL("../dist/tfjs-compute.js", import.meta.url).href
);

const folder = mkdtempSync(join(tmpdir(), "downpour-compute-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** 50 training examples in 7 batches of 8, the last one of 2; 10 for validation, 12 for the test. */
function jobOf(more: Partial<JobInput> = {}): Job {
  const value: JobInput = {
    name: "test",
    seed: 3,
    data: { set: { name: "digits", trainCount: 60, testCount: 12 }, batchSize: 8, validation: 10 },
    model: { name: "lenet5" },
    optimizer: { name: "sgd" },
    learningRate: { initial: 0.1 },
    evaluation: { batchSize: 4 },
    ...more,
  };
  return checkJob(value, "the test");
}

function moduleJob(body: string, more: Partial<JobInput> = {}): Job {
  const path = join(mkdtempSync(join(folder, "model-")), "model.mjs");
  writeFileSync(path, `export default function ({ tf, input, seed }) {\n${body}\n}\n`);
  return jobOf({ model: { name: "module", path }, ...more });
}

function makeCompute(device: Device = "cpu") {
  const heard: string[] = [];
  const compute = new built.TfjsCompute({
    cacheDirectory: join(folder, "cache"),
    dataDirectory: undefined,
    device,
    onNotice: (notice) => heard.push(notice),
  });
  return { compute, heard };
}

async function prepared(job: Job) {
  const { compute, heard } = makeCompute();
  const made = await compute.prepare(job);
  return { compute, heard, ...made, ...made.vectors, gradient: made.vectors.gradients[0] };
}

const finite = (values: Float32Array) => values.every(Number.isFinite);

const pushId = (batch: number, epoch = 0) => ({ epoch, batch });

const runDirectory = () => mkdtempSync(join(folder, "run-"));

// Each compute starts a thread of its own, which takes its time on a busy machine.
describe("TfjsCompute", { timeout: 120_000 }, () => {
  it("prepares weights and gradient in shared memory, and the facts of the data", async () => {
    const { manifest, data, weights, gradient, notices } = await prepared(jobOf());
    expect(weights.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(gradient.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(weights.length).toBe(gradient.length);
    expect(weights.some((value) => value !== 0)).toBe(true);
    expect(manifest.tensors.map(({ name }) => name)).toContain("conv1/kernel");
    expect(data).toMatchObject({ trainExamples: 50, validationExamples: 10, testExamples: 12 });
    expect(notices).toEqual([]);
  });

  it("gives a batch the same gradient whoever computes it, and after whatever", async () => {
    const job = moduleJob(plainLayers); // with dropout
    const [first, second] = [await prepared(job), await prepared(job)];
    const gradients: Float32Array[] = [];
    for (const batch of [0, 1, 2, 3]) {
      const { loss, exampleCount, unreadable } = await first.compute.step({
        pushId: pushId(batch),
        next: [pushId(batch + 1), pushId(batch + 2)],
        gradient: 0,
      });
      expect({ exampleCount, unreadable }).toEqual({ exampleCount: 8, unreadable: [] });
      expect(loss).toBeGreaterThan(0);
      gradients.push(first.gradient.slice());
    }
    await second.compute.step({ pushId: pushId(6, 4), next: [pushId(0, 9)], gradient: 0 });
    for (const batch of [3, 0, 2, 1]) {
      await second.compute.step({ pushId: pushId(batch), next: [], gradient: 0 });
      expect(
        relativeDistance(gradients[batch] as Float32Array, second.gradient),
        `batch ${batch}`,
      ).toBeLessThan(1e-5);
    }
    expect(relativeDistance(gradients[0] as Float32Array, gradients[1] as Float32Array)).toBeGreaterThan(0.1);
  });

  it("draws other dropout masks for the same examples in another step", async () => {
    // All 50 examples in each batch: epochs differ in order and masks alone.
    const body = `return tf.sequential({ layers: [
      tf.layers.flatten({ inputShape: [28, 28, 1] }), DROPOUT tf.layers.dense({ name: "logits", units: 10 }) ] });`;
    const data = {
      set: { name: "digits", trainCount: 60, testCount: 12 },
      batchSize: 50,
      validation: 10,
    } as const;
    const distanceOf = async (dropout: string) => {
      const { compute, gradient } = await prepared(moduleJob(body.replace("DROPOUT", dropout), { data }));
      await compute.step({ pushId: pushId(0, 0), next: [], gradient: 0 });
      const before = gradient.slice();
      await compute.step({ pushId: pushId(0, 1), next: [], gradient: 0 });
      return relativeDistance(before, gradient);
    };
    expect(await distanceOf("")).toBeLessThan(1e-5);
    expect(await distanceOf("tf.layers.dropout({ rate: 0.5 }),")).toBeGreaterThan(0.1);
  });

  it("computes short last batches, and goes on after weights that are not finite", async () => {
    const { compute, weights, gradient } = await prepared(jobOf());
    const short = await compute.step({ pushId: pushId(6), next: [], gradient: 0 });
    expect(short).toMatchObject({ exampleCount: 2 });
    expect(finite(gradient)).toBe(true);
    const before = weights.slice();
    weights[0] = Number.NaN;
    await compute.step({ pushId: pushId(0), next: [], gradient: 0 });
    expect(finite(gradient)).toBe(false);
    weights.set(before);
    await compute.step({ pushId: pushId(0), next: [], gradient: 0 });
    expect(finite(gradient)).toBe(true);
  });

  it("writes the gradient that it is told to, and leaves the other one and the pulled weights alone", async () => {
    const { compute, weights, pulled, gradients } = await prepared(jobOf());
    for (const values of [pulled, gradients[0]]) values.fill(5);
    await compute.step({ pushId: pushId(0), next: [], gradient: 1 });
    expect(new Set([...pulled, ...gradients[0]])).toEqual(new Set([5]));
    const second = gradients[1].slice();
    expect(second.some((value) => value !== 0)).toBe(true);
    gradients[0].fill(0);
    await compute.step({ pushId: pushId(0), next: [], gradient: 0 });
    expect(relativeDistance(second, gradients[0])).toBeLessThan(1e-5);
    expect(gradients[1]).toEqual(second);
    expect([pulled, ...gradients].map(({ length }) => length)).toEqual(Array(3).fill(weights.length));
  });

  it("measures validation over all its examples, whatever the size of a run", async () => {
    const measured: { loss: number; accuracy: number; exampleCount: number }[] = [];
    for (const batchSize of [4, 10, 3]) {
      const { compute } = await prepared(jobOf({ evaluation: { batchSize } }));
      const { loss, accuracy, exampleCount } = await compute.validate();
      measured.push({ loss: Number(loss), accuracy: Number(accuracy), exampleCount: Number(exampleCount) });
    }
    const [first, ...others] = measured;
    expect(first?.exampleCount).toBe(10);
    expect((first?.accuracy ?? 0) * 10).toBeCloseTo(Math.round((first?.accuracy ?? 0) * 10), 9);
    for (const other of others) {
      expect(other.loss).toBeCloseTo(first?.loss ?? 0, 5);
      expect(other).toMatchObject({ accuracy: first?.accuracy, exampleCount: 10 });
    }
  });

  it("finishes with the weights that were kept as the best, in this process or by one before it", async () => {
    const { compute, weights } = await prepared(jobOf());
    const directory = runDirectory();
    const best = weights.slice();
    const { loss } = await compute.validate();
    await compute.keepBest(directory);
    weights.fill(0);
    await compute.validate(); // not kept
    const finished = await compute.finish({ keep: "best", runDirectory: directory });
    expect(weights).toEqual(best);
    expect(finished.test.exampleCount).toBe(12);
    expect(loss).not.toBeCloseTo(Math.log(10), 3);
    expect(finished.directory).toBe(join(directory, "model"));
    for (const file of ["model.json", "weights.bin", "model.safetensors", "preprocessing.json"]) {
      expect(existsSync(join(finished.directory, file)), file).toBe(true);
    }
    const other = await prepared(jobOf({ seed: 4 }));
    await other.compute.finish({ keep: "best", runDirectory: directory });
    expect(other.weights).toEqual(best);
  });

  it("finishes with the last weights where these are asked for, as often as it is asked, and computes on", async () => {
    const { compute, weights } = await prepared(jobOf());
    const directory = runDirectory();
    weights.fill(0);
    const finish = () => compute.finish({ keep: "last", runDirectory: directory });
    expect((await finish()).test.loss).toBeCloseTo(Math.log(10), 5);
    const written = readFileSync(join(directory, "model", "weights.bin"));
    expect(written.every((byte) => byte === 0)).toBe(true);
    weights.fill(0.01);
    const { test } = await finish();
    expect(test.loss).not.toBe(Math.log(10));
    const values = new Float32Array(
      Uint8Array.from(readFileSync(join(directory, "model", "weights.bin"))).buffer,
    );
    expect(new Set(values)).toEqual(new Set([Math.fround(0.01)]));
    weights.fill(0);
    expect((await compute.validate()).loss).toBeCloseTo(Math.log(10), 5);
  });

  it("measures batch statistics anew before the end, over the batches that were asked for", async () => {
    const job = moduleJob(plainLayers, { evaluation: { batchSize: 4, recalibrationBatches: 3 } });
    const { compute, weights, gradient, manifest } = await prepared(job);
    const places = statisticPlaces(manifest);
    expect(places.length).toBeGreaterThan(10);
    // Dropout is no chance here: the same batch has the same masks.
    const sums = new Float64Array(places.length);
    for (const batch of [0, 1, 2]) {
      await compute.step({ pushId: pushId(batch), next: [], gradient: 0 });
      for (const [i, place] of places.entries()) sums[i] = (sums[i] ?? 0) + (gradient[place] ?? 0) / 3;
    }
    const before = weights.slice();
    await compute.finish({ keep: "last", runDirectory: runDirectory() });
    for (const [i, place] of places.entries()) expect(weights[place]).toBeCloseTo(sums[i] ?? 0, 4);
    const isStatistic = new Set(places);
    expect(weights.filter((_, i) => !isStatistic.has(i))).toEqual(
      before.filter((_, i) => !isStatistic.has(i)),
    );
  });

  it("leaves the servers' statistics where no recalibration is asked for", async () => {
    const { compute, weights } = await prepared(moduleJob(plainLayers));
    const before = weights.slice();
    await compute.finish({ keep: "last", runDirectory: runDirectory() });
    expect(weights).toEqual(before);
  });

  it("tells that a model can't be one graph, at once and with the answer to the step, and trains on", async () => {
    const noisy = `return tf.sequential({ layers: [ tf.layers.flatten({ inputShape: [28, 28, 1] }),
      tf.layers.gaussianNoise({ stddev: 0.5 }), tf.layers.dense({ name: "logits", units: 10 }) ] });`;
    const { compute, heard, gradient } = await prepared(moduleJob(noisy));
    const told: string[] = [];
    for (const batch of [0, 1, 2]) {
      const result = await compute.step({ pushId: pushId(batch), next: [], gradient: 0 });
      told.push(...result.notices);
      expect(finite(gradient)).toBe(true);
    }
    expect(told).toEqual([expect.stringMatching(/can't be one TensorFlow graph/)]);
    expect(heard).toEqual(told);
  });

  it("refuses a batch that memory can't hold, and a model that does not fit the data", async () => {
    const data = {
      set: { name: "digits", trainCount: 60, testCount: 12 },
      batchSize: 8,
      validation: 10,
    } as const;
    const huge = `return tf.sequential({ layers: [
      tf.layers.conv2d({ filters: 60000, kernelSize: 1, padding: "same", inputShape: [28, 28, 1], kernelInitializer: "zeros" }),
      tf.layers.globalAveragePooling2d({}),
      tf.layers.dense({ units: 10, kernelInitializer: "zeros" }) ] });`;
    const job = moduleJob(huge, { data: { ...data, batchSize: 65_536 } });
    await expect(makeCompute().compute.prepare(job)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(/data\.batchSize 65536 needs about .* GiB/),
    });
    await expect(makeCompute().compute.prepare(jobOf({ model: { name: "alexnet" } }))).rejects.toMatchObject({
      code: "usage",
    });
  });

  it("says what is wrong with the data or the device, while both are being opened", async () => {
    const set = { name: "images", path: join(folder, "nowhere"), height: 28, width: 28 } as const;
    const job = jobOf({ data: { set, batchSize: 8 } });
    await expect(makeCompute().compute.prepare(job)).rejects.toThrow(/nowhere/);
    // Where there is a CUDA device, the data is wrong still.
    await expect(makeCompute("cuda").compute.prepare(job)).rejects.toThrow(/cuda|nowhere/i);
  });

  it("says so when it is used before it is prepared", async () => {
    const { compute } = makeCompute();
    await expect(compute.step({ pushId: pushId(0), next: [], gradient: 0 })).rejects.toThrow(/not prepared/);
    await expect(compute.validate()).rejects.toThrow(/not prepared/);
  });
});

/** Places of the statistics of all normalizations in the parameter vector. */
function statisticPlaces({ tensors }: Prepared["manifest"]): number[] {
  return tensors
    .filter(({ name }) => /moving_/.test(name))
    .flatMap(({ offset, shape }) =>
      Array.from({ length: elementCount(shape) }, (_, i) => Number(offset) + i),
    );
}
