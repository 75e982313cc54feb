import { expect, test } from "vitest";
import * as api from "./index.ts";

test("the public names are these", () => {
  expect(Object.keys(api).sort()).toEqual([
    "ErrorFeedback",
    "KernelMemory",
    "TopKFeedback",
    "addDifferenceInPlace",
    "addWeightDecayInPlace",
    "checkPayload",
    "decodeInto",
    "encode",
    "encodeDifference",
    "encodedLength",
    "isFiniteVector",
    "makeOptimizer",
    "movingAverage",
    "noDecay",
    "referenceKernels",
  ]);
});
