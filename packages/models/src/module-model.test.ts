import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel } from "./build-model.ts";
import type { InputShape } from "./model-options.ts";
import { modelWeights } from "./model-weights.ts";

const input: InputShape = { height: 4, width: 4, channels: 1, classCount: 3 };

const good = `
export default async function ({ tf, input, seed, options }) {
  const { height, width, channels, classCount } = input;
  return tf.sequential({
    layers: [
      tf.layers.flatten({ inputShape: [height, width, channels] }),
      tf.layers.dense({ units: options.units ?? 2, activation: "relu", kernelInitializer: tf.initializers.heUniform({ seed }) }),
      tf.layers.dense({ units: classCount, kernelInitializer: tf.initializers.glorotUniform({ seed: seed + 1 }) }),
    ],
  });
}`;

describe("a model of the user's", () => {
  let folder = "";
  let files = 0;
  beforeAll(async () => {
    await tf.setBackend("cpu");
    folder = await mkdtemp(join(tmpdir(), "downpour-models-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const write = async (text: string) => {
    const path = join(folder, `model${++files}.mjs`);
    await writeFile(path, text);
    return path;
  };

  it("is built by its module's function from the data set's sizes, the options and the seed", async () => {
    const path = await write(good);
    const built = await buildModel({ name: "module", path, options: { units: 5 } }, input, 11);
    expect(built.auxiliaryLossWeight).toBe(0);
    expect(modelWeights(built.model).map(({ name, shape }) => [name, shape])).toEqual([
      ["dense_Dense1/kernel", [16, 5]],
      ["dense_Dense1/bias", [5]],
      ["dense_Dense2/kernel", [5, 3]],
      ["dense_Dense2/bias", [3]],
    ]);
    const kernel = (model: tf.LayersModel) => Array.from(modelWeights(model)[0]?.variable.dataSync() ?? []);
    const again = await buildModel({ name: "module", path, options: { units: 5 } }, input, 11);
    const other = await buildModel({ name: "module", path, options: { units: 5 } }, input, 12);
    expect(kernel(again.model)).toEqual(kernel(built.model));
    expect(kernel(other.model)).not.toEqual(kernel(built.model));
  });

  it("gets empty options where the job gives none", async () => {
    const { model } = await buildModel({ name: "module", path: await write(good) }, input, 1);
    expect(modelWeights(model)[0]?.shape).toEqual([16, 2]);
  });

  it.each<[string, string, RegExp]>([
    [
      "a module without default export",
      "export const build = 1;",
      /no function as its default export; it exports build \(a number\)/,
    ],
    ["a module without exports", "", /it exports nothing/],
    [
      "a default export that is no function",
      "export default { units: 3 };",
      /it exports default \(a plain object\)/,
    ],
    ["a module that can't be parsed", "export default (", /can't import the model module .*\.mjs: /],
    [
      "a module that throws when it is imported",
      "\n\nthrow new Error('no licence');",
      /can't import .*: no licence \(line 3\)/,
    ],
    [
      "a function that throws",
      "export default () => {\nthrow new RangeError('too wide'); }",
      /failed: too wide \(line 2\)/,
    ],
    ["a function that throws what is no error", "export default () => { throw 'up'; }", /failed: up$/],
    ["a promise that is rejected", "export default async () => { throw new Error('late'); }", /failed: late/],
    ["a function that returns nothing", "export default () => {}", /is no tf\.LayersModel but undefined/],
    [
      "a model of too many classes",
      "export default ({ tf }) => tf.sequential({ layers: [tf.layers.flatten({ inputShape: [4, 4, 1] }), tf.layers.dense({ units: 9 })] })",
      /does not match the labels: shape \[batch, 9\], expected \[batch, 3\]/,
    ],
  ])("refuses %s, naming its file", async (_, text, message) => {
    const path = await write(text);
    const build = buildModel({ name: "module", path }, input, 1);
    await expect(build).rejects.toThrow(message);
    await expect(build).rejects.toThrow(path);
    await expect(build).rejects.toBeInstanceOf(DownpourError);
    await expect(build).rejects.toMatchObject({ code: "usage" });
  });

  it("refuses a path where there is no file, naming it in full", async () => {
    const build = buildModel({ name: "module", path: join(folder, "none.mjs") }, input, 1);
    await expect(build).rejects.toMatchObject({ code: "usage" });
    await expect(build).rejects.toThrow(`can't read the model module ${join(folder, "none.mjs")}`);
  });
});
