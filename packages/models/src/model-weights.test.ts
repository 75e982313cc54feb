import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { modelWeights } from "./model-weights.ts";

const namesOf = (model: tf.LayersModel) => modelWeights(model).map(({ name }) => name);

describe("modelWeights", () => {
  beforeAll(() => tf.setBackend("cpu"));

  it("numbers layers without a name within the model, whatever the process built before", () => {
    const build = () =>
      tf.sequential({
        layers: [
          tf.layers.dense({ units: 2, inputShape: [3] }),
          tf.layers.dense({ units: 2, name: "dense7" }),
          tf.layers.dense({ units: 2 }),
        ],
      });
    const first = namesOf(build());
    expect(first).toEqual([
      "dense_Dense1/kernel",
      "dense_Dense1/bias",
      "dense7/kernel",
      "dense7/bias",
      "dense_Dense2/kernel",
      "dense_Dense2/bias",
    ]);
    expect(namesOf(build())).toEqual(first);
  });

  it("names the tensors of a model within the model by both", () => {
    const inner = () =>
      tf.sequential({ layers: [tf.layers.dense({ name: "a", units: 2, inputShape: [2], useBias: false })] });
    expect(namesOf(tf.sequential({ layers: [inner(), inner()] }))).toEqual([
      "sequential_1/a/kernel",
      "sequential_2/a/kernel",
    ]);
  });

  it("counts the layers of a frozen model as frozen", () => {
    const inner = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [2] })], name: "body" });
    inner.trainable = false;
    const model = tf.sequential({ layers: [inner, tf.layers.dense({ units: 1 })] });
    expect(modelWeights(model).map(({ trainable }) => trainable)).toEqual([false, false, true, true]);
  });

  it("knows what is decayed of a PReLU and what is trained of a batch normalization", () => {
    const model = tf.sequential({
      layers: [
        tf.layers.prelu({ name: "p", inputShape: [2] }),
        tf.layers.batchNormalization({ name: "b" }),
        tf.layers.dense({ name: "frozen", units: 1, trainable: false, useBias: false }),
      ],
    });
    expect(modelWeights(model).map(({ name, role, trainable }) => [name, role, trainable])).toEqual([
      ["p/alpha", "normScale", true],
      ["b/gamma", "normScale", true],
      ["b/beta", "normScale", true],
      ["b/moving_mean", "movingStatistic", false],
      ["b/moving_variance", "movingStatistic", false],
      ["frozen/kernel", "weight", false],
    ]);
  });

  it("refuses two tensors of one name", () => {
    const model = tf.sequential({
      layers: [
        tf.layers.dense({ units: 2, inputShape: [3], useBias: false }),
        tf.layers.dense({ name: "dense_Dense1", units: 2, useBias: false }),
        tf.layers.dense({ units: 2, useBias: false }),
      ],
    });
    // The layer whose given name looks made up is numbered as such.
    expect(namesOf(model)).toEqual(["dense_Dense1/kernel", "dense_Dense2/kernel", "dense_Dense3/kernel"]);
    const twice = { layers: [model.layers[0], model.layers[0]] } as unknown as tf.LayersModel;
    expect(namesOf(twice)).toHaveLength(2);
    const named = tf.layers.dense({ name: "x", units: 2, inputShape: [3], useBias: false });
    tf.sequential({ layers: [named] });
    expect(() => modelWeights({ layers: [named, named] } as unknown as tf.LayersModel)).toThrow(
      /two tensors have the name x\/kernel/,
    );
  });
});
