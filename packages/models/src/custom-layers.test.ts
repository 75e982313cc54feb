import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { ChannelPadding, ChannelSlice, LocalResponseNormalization } from "./custom-layers.ts";
import { LayerFactory } from "./layers.ts";
import type { InputShape, ZooOptions } from "./model-options.ts";
import { zooModel } from "./zoo.ts";

const values = (tensor: unknown) => Array.from((tensor as tf.Tensor).dataSync());

describe("custom layers", () => {
  beforeAll(() => tf.setBackend("cpu"));

  it("LocalResponseNormalization is the paper's formula, with alpha undivided", () => {
    // n = 3. Channels 1, 2, 3: sums of squares 1+4, 1+4+9, 4+9; (2 + 0.5 * sum)^0.5 each.
    const layer = new LocalResponseNormalization({ depthRadius: 1, bias: 2, alpha: 0.5, beta: 0.5 });
    const found = values(layer.apply(tf.tensor4d([1, 2, 3], [1, 1, 1, 3])));
    [1 / Math.sqrt(4.5), 2 / Math.sqrt(9), 3 / Math.sqrt(8.5)].forEach((expected, i) => {
      expect(found[i]).toBeCloseTo(expected, 6);
    });
  });

  it("ChannelSlice takes its channels, and leads gradients back to them alone", () => {
    const layer = new ChannelSlice({ start: 1, count: 2 });
    const image = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 2, 4]);
    expect(values(layer.apply(image))).toEqual([2, 3, 6, 7]);
    const gradient = tf.grad((x) => tf.sum(layer.apply(x) as tf.Tensor))(image);
    expect(values(gradient)).toEqual([0, 1, 1, 0, 0, 1, 1, 0]);
  });

  it("ChannelPadding appends channels of zeros, and leads gradients past them", () => {
    const layer = new ChannelPadding({ count: 2 });
    const image = tf.tensor4d([1, 2, 3, 4], [1, 1, 2, 2]);
    expect(values(layer.apply(image))).toEqual([1, 2, 0, 0, 3, 4, 0, 0]);
    const gradient = tf.grad((x) => tf.sum(tf.square(layer.apply(x) as tf.Tensor)))(image);
    expect(values(gradient)).toEqual([2, 4, 6, 8]);
  });

  const small = (size: number): InputShape => ({ height: size, width: size, channels: 3, classCount: 3 });
  it.each<[string, ZooOptions, InputShape]>([
    ["GoogLeNet", { name: "googlenet", dropout: 0.4, auxiliary: false }, small(32)],
    ["ResNet-20", { name: "resnet20", shortcut: "identity", zeroInitResidual: false }, small(8)],
  ])("%s predicts the same after it is saved and loaded", async (_, options, input) => {
    const model = zooModel(new LayerFactory(9), options, input);
    const loaded = await savedAndLoaded(model);
    const images = tf.randomNormal([2, input.height, input.width, 3], 0, 1, "float32", 4);
    expect(values(loaded.predict(images))).toEqual(values(model.predict(images)));
  });

  it("a grouped convolution predicts the same after it is saved and loaded", async () => {
    const image = tf.input({ shape: [2, 2, 4] });
    const parts = [0, 2].map(
      (start) => new ChannelSlice({ start, count: 2 }).apply(image) as tf.SymbolicTensor,
    );
    const model = tf.model({
      inputs: image,
      outputs: tf.layers.concatenate().apply(parts.reverse()) as tf.SymbolicTensor,
    });
    const loaded = await savedAndLoaded(model);
    const images = tf.range(0, 16).reshape([1, 2, 2, 4]);
    expect(values(loaded.predict(images)).slice(0, 4)).toEqual([2, 3, 0, 1]);
  });
});

async function savedAndLoaded(model: tf.LayersModel): Promise<tf.LayersModel> {
  let saved: tf.io.ModelArtifacts | undefined;
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } };
    }),
  );
  return tf.loadLayersModel(tf.io.fromMemory(saved as tf.io.ModelArtifacts));
}
