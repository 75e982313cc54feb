import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

/** What each package exports at run time. A change here is a change of the public API: say so in the changelog. */
const publicApi: Readonly<Record<string, readonly string[]>> = {
  errors: ["DownpourError", "assertNever", "errorCodes", "exitCodeOf", "messageOf"],
  job: [
    "checkJob",
    "jobFileReference",
    "jobSchema",
    "learningRateAt",
    "loadOptionsOf",
    "parseJob",
    "readJob",
  ],
  logging: ["makeLogger"],
  "parameter-vector": [
    "alignUp",
    "alignment",
    "cutSlices",
    "decayedRanges",
    "elementCount",
    "makeManifest",
    "manifestFromWire",
    "manifestToWire",
    "placeSlices",
    "sliceLengthMax",
  ],
  "tensor-kernels": ["addWeightDecayInPlace", "isFiniteVector", "makeOptimizer"],
  models: ["buildModel", "correctCount", "crossEntropy", "modelWeights"],
  "parameter-server": ["runParameterServer"],
  coordinator: ["runCoordinator"],
  worker: ["loadTensorflow", "runMember"],
  cli: ["main"],
};

describe("public API", () => {
  it.each(Object.entries(publicApi))("of %s is what is listed here", (name, exported) => {
    const index = fileURLToPath(new URL(`../packages/${name}/src/index.ts`, import.meta.url));
    const values = [...readFileSync(index, "utf8").matchAll(/^export \{([^}]*)\}/gm)].flatMap((match) =>
      (match[1] ?? "")
        .split(",")
        .map((word) => word.trim())
        .filter((word) => word !== "" && !word.startsWith("type ")),
    );
    expect(values.sort()).toEqual([...exported].sort());
  });
});
