import { expect, test } from "vitest";
import * as api from "./index.ts";

test("the public names are these", () => {
  expect(Object.keys(api).sort()).toEqual([
    "adaptToWorkers",
    "checkJob",
    "defaultPagePort",
    "devices",
    "jobFileReference",
    "jobFileSchema",
    "learningRateAt",
    "loadOptionsOf",
    "momentumAtWorkers",
    "momentumOf",
    "overlaps",
    "parseJob",
    "readJob",
    "serverOptimizer",
  ]);
});
