import { expect, test } from "vitest";
import * as datasets from "./index.ts";

test("the package exports exactly these values", () => {
  expect(Object.keys(datasets).sort()).toEqual([
    "BatchReader",
    "batchCount",
    "batchRange",
    "createNormalizer",
    "createPreprocessor",
    "createRandom",
    "decodeImage",
    "epochOrder",
    "loadDataset",
    "parsePreprocessing",
    "preprocessingOf",
    "readFrames",
    "verifyDataset",
  ]);
});
