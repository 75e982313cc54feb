import { expect, test } from "vitest";
import * as api from "./index.ts";

test("the public names are these", () => {
  expect(Object.keys(api).sort()).toEqual([
    "alignUp",
    "alignment",
    "codecRuns",
    "cutSlices",
    "decayedRanges",
    "elementCount",
    "isStatisticSlice",
    "makeManifest",
    "manifestFromWire",
    "manifestToWire",
    "placeSlices",
    "sliceLengthMax",
    "tensorRuns",
  ]);
});
