import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNormalizer, createRandom, type Preprocessing } from "@downpour/datasets";
import { buildModel, type ModelOptions } from "@downpour/models";
import { openDevice } from "@downpour/worker";
import { hasNativeTensorflow } from "@downpour/worker/setup";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ExportFormat, exportModel } from "./export-model.ts";
import { findModel } from "./find-model.ts";
import { loadModel } from "./load-model.ts";
import { probabilitiesOf } from "./predict.ts";
import { writeTrained } from "./sample-model.test.suite.ts";

const python = process.env.DOWNPOUR_PYTHON || undefined;

/** Why Python can't load this here, or undefined. TensorFlow takes seconds to import. */
function missing(modules: string): string | undefined {
  if (python === undefined) return "DOWNPOUR_PYTHON is not set";
  const found = spawnSync(python, ["-c", `import ${modules}`], { encoding: "utf8" });
  if (found.status === 0) return undefined;
  return `${python}: ${found.error?.message ?? found.stderr.trim().split("\n").at(-1)}`;
}

const tensorflowLacks = hasNativeTensorflow() ? missing("tensorflow") : "TensorFlow is not set up here";
const safetensorsLacks = missing("safetensors.numpy");
const skipped = (reason: string | undefined) => (reason === undefined ? "" : ` (skipped: ${reason})`);

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "downpour-python-"));
});

afterEach(() => rm(folder, { recursive: true }));

const preprocessing: Preprocessing = {
  ...{ height: 12, width: 12, channels: 3, resize: 1, classNames: ["a", "b", "c", "d"] },
  normalization: { kind: "perChannel", mean: [0.5, 0.4, 0.3], deviation: [0.2, 0.3, 0.4] },
};

const imageCount = 6;

/** What a Python program makes of an exported model, and what Downpour makes of it. */
async function predictBoth(options: ModelOptions, format: ExportFormat, program: string) {
  const { tensorflow } = await openDevice(format === "savedmodel" ? "cpu" : "portable", 1);
  const { model: built } = await buildModel(options, { ...preprocessing, classCount: 4 }, 11);
  await writeTrained(tensorflow, folder, built, preprocessing);
  const model = await loadModel(tensorflow, findModel(folder));
  await exportModel(model, format, join(folder, "exported"));

  const length = 12 * 12 * 3;
  const random = createRandom(1);
  const bytes = Uint8Array.from({ length: imageCount * length }, () => random.bits() & 255);
  const values = new Float32Array(bytes.length);
  createNormalizer(preprocessing)(bytes, 0, values, 0, imageCount);
  const inputs = Array.from({ length: imageCount }, (_, i) => values.slice(i * length, (i + 1) * length));
  const expected = (await probabilitiesOf(model, inputs)).flatMap((row) => [...row]);
  model.dispose();

  await writeFile(join(folder, "bytes.bin"), bytes);
  await writeFile(join(folder, "values.bin"), new Uint8Array(values.buffer));
  await writeFile(join(folder, "read.py"), program);
  const run = spawnSync(python ?? "", ["read.py"], { cwd: folder, encoding: "utf8" });
  if (run.status !== 0) throw new Error(run.stderr);
  return { expected, found: JSON.parse(run.stdout.trim().split("\n").at(-1) ?? "") as number[] };
}

/** A program of the documentation, by the function that it defines. */
async function shownWith(name: string): Promise<string> {
  const document = await readFile(new URL("../../../docs/export.md", import.meta.url), "utf8");
  const blocks = [...document.matchAll(/```python\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
  return blocks.find((block) => block.includes(`def ${name}(`)) ?? "raise SystemExit('not in the document')";
}

function expectSame({ expected, found }: { expected: number[]; found: number[] }): void {
  expect(found).toHaveLength(imageCount * 4);
  for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 5);
}

/** TensorFlow takes long to import on a busy machine. */
const importing = { timeout: 300_000 };

describe.skipIf(tensorflowLacks !== undefined)(`Python's TensorFlow${skipped(tensorflowLacks)}`, () => {
  it("predicts the same with a SavedModel, loaded as docs/export.md shows it", importing, async () => {
    const program = `${await shownWith("load_model")}
images = np.fromfile("bytes.bin", dtype=np.uint8).reshape(-1, 12, 12, 3)
probabilities, names = load_model("exported")
assert names == ["a", "b", "c", "d"], names
assert probabilities(images[:1]).shape == (1, 4)
print(json.dumps(probabilities(images).reshape(-1).tolist()))
`;
    const options: ModelOptions = { name: "resnet20", shortcut: "projection", zeroInitResidual: false };
    expectSame(await predictBoth(options, "savedmodel", program));
  });
});

describe.skipIf(safetensorsLacks !== undefined)(`Python's safetensors${skipped(safetensorsLacks)}`, () => {
  it("predicts the same with the tensors, as docs/export.md shows it", importing, async () => {
    const program = `${await shownWith("load_mlp")}
import json
inputs = np.fromfile("values.bin", dtype=np.float32).reshape(-1, 12, 12, 3)
print(json.dumps(load_mlp("exported")(inputs).reshape(-1).tolist()))
`;
    const options: ModelOptions = { name: "mlp", hiddenUnits: [20, 10], activation: "relu" };
    expectSame(await predictBoth(options, "safetensors", program));
  });
});
