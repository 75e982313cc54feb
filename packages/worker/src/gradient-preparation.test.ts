import { checkJob, type JobInput } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import { referenceKernels } from "@downpour/tensor-kernels";
import { describe, expect, it } from "vitest";
import { GradientPreparation, stretchesOf } from "./gradient-preparation.ts";

/** A matrix at 0, its bias at 16, a running mean at 32. */
const manifest = makeManifest([
  { name: "dense/kernel", shape: [2, 2], role: "weight", trainable: true, decayed: true },
  { name: "dense/bias", shape: [2], role: "bias", trainable: true, decayed: false },
  { name: "norm/mean", shape: [2], role: "movingStatistic", trainable: false, decayed: false },
]);

function preparationOf(more: Partial<JobInput> = {}): GradientPreparation {
  const job = checkJob(
    {
      ...{ name: "test", data: { set: { name: "digits" } }, model: { name: "lenet5" } },
      ...{ optimizer: { name: "sgd" }, learningRate: { initial: 0.1 }, ...more },
    },
    "the test",
  );
  return new GradientPreparation(job, manifest, referenceKernels);
}

/** Kernel 3, 4, bias 12, mean 1000: the norm without the mean is 13. */
function gradientOf(): Float32Array {
  const gradient = new Float32Array(48);
  gradient.set([3, 4]);
  gradient[16] = 12;
  gradient[32] = 1000;
  return gradient;
}

describe("GradientPreparation", () => {
  it("finds the stretches that gradients update, and those of statistics", () => {
    expect(stretchesOf(manifest, false)).toEqual([{ offset: 0, length: 32 }]);
    expect(stretchesOf(manifest, true)).toEqual([{ offset: 32, length: 16 }]);
  });

  it("measures the global norm without batch statistics, and clips without touching them", () => {
    const gradient = gradientOf();
    const found = preparationOf({ gradient: { clipNorm: 6.5 } }).clipInPlace(gradient, 1);
    expect(found).toEqual({ norm: 13, clipped: true });
    expect([gradient[0], gradient[1], gradient[16], gradient[32]]).toEqual([1.5, 2, 6, 1000]);
  });

  it("leaves a gradient within the bound as it is", () => {
    const gradient = gradientOf();
    expect(preparationOf({ gradient: { clipNorm: 13 } }).clipInPlace(gradient, 1)?.clipped).toBe(false);
    expect(gradient).toEqual(gradientOf());
  });

  it("clips by value before it measures the norm", () => {
    const gradient = gradientOf();
    const found = preparationOf({ gradient: { clipValue: 3, clipNorm: "off" } }).clipInPlace(gradient, 1);
    expect([gradient[0], gradient[1], gradient[16], gradient[32]]).toEqual([3, 3, 3, 1000]);
    expect(found?.norm).toBeCloseTo(Math.sqrt(27), 12);
  });

  it.each([
    ["a loss", Number.NaN, 0, 1],
    ["an element", 1, 1, Number.NaN],
    ["an infinite element", 1, 16, Number.POSITIVE_INFINITY],
    ["a statistic", 1, 33, Number.NEGATIVE_INFINITY],
  ])("refuses the whole gradient for %s that is not finite", (_, loss, place, value) => {
    const gradient = gradientOf();
    gradient[place] = value;
    expect(preparationOf().clipInPlace(gradient, loss)).toBeUndefined();
  });

  it("adds weight decay where workers keep the momentum, to decayed tensors", () => {
    const weights = new Float32Array(48).fill(-2);
    const optimizer = { name: "momentum", weightDecay: 0.5, weightDecayL1: 0.25 } as const;
    const gradient = gradientOf();
    preparationOf({ optimizer, staleness: { policy: "dana" } }).decayInPlace(gradient, weights);
    // g + 0.5 * -2 + 0.25 * -1
    expect([...gradient.subarray(0, 5)]).toEqual([1.75, 2.75, -1.25, -1.25, 0]);
    expect([gradient[16], gradient[32]]).toEqual([12, 1000]);
  });

  it("leaves weight decay to the servers otherwise", () => {
    const gradient = gradientOf();
    const optimizer = { name: "momentum", weightDecay: 0.5 } as const;
    preparationOf({ optimizer }).decayInPlace(gradient, new Float32Array(48).fill(-2));
    expect(gradient).toEqual(gradientOf());
  });

  it("gives LARS the norms of every tensor but the statistics, and others none", () => {
    const weights = new Float32Array(48).fill(2);
    expect(preparationOf().tensorNorms(gradientOf(), weights)).toBeUndefined();
    const norms = preparationOf({ optimizer: { name: "lars" } }).tensorNorms(gradientOf(), weights);
    expect(norms).toEqual([
      { tensorIndex: 0, gradientNorm: 5, weightNorm: 4 },
      { tensorIndex: 1, gradientNorm: 12, weightNorm: Math.sqrt(8) },
    ]);
  });
});
