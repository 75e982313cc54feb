import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manifest, randomServers, writeSample } from "./sample.test.suite.ts";

const python = process.env.DOWNPOUR_PYTHON || undefined;

/** Why Python can't read safetensors here, or undefined. */
function missing(): string | undefined {
  if (python === undefined) return "DOWNPOUR_PYTHON is not set";
  const found = spawnSync(python, ["-c", "import numpy, safetensors.numpy"], { encoding: "utf8" });
  if (found.status === 0) return undefined;
  return `${python}: ${found.error?.message ?? found.stderr.trim().split("\n").at(-1)}`;
}

const reason = missing();

let store: string;

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "downpour-python-"));
});

afterEach(() => rm(store, { recursive: true }));

describe.skipIf(reason !== undefined)(
  `Python's safetensors${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  () => {
    it.each([
      ["weights", "weights"],
      ["slot-v", "v"],
    ])("puts %s together bit for bit as docs/checkpoints.md shows it", async (kind, name) => {
      await writeSample(store, { sequence: 3, coordinatorEpoch: 1 });
      const document = await readFile(new URL("../../../docs/checkpoints.md", import.meta.url), "utf8");
      const shown = /```python\n([\s\S]*?)```/.exec(document)?.[1];
      const vector = new Float32Array(manifest.length);
      for (const { range, weights, slots } of randomServers(2, 3).flatMap(({ slices }) => slices)) {
        vector.set(name === "weights" ? weights : (slots.get(name) ?? []), range.offset);
      }
      await writeFile(join(store, "expected.bin"), new Uint8Array(vector.buffer));
      await writeFile(join(store, "read.py"), `${shown}\n${check}`);
      const folder = join(store, "checkpoint-3-e1");
      const run = spawnSync(python ?? "", [join(store, "read.py"), folder, kind], { encoding: "utf8" });
      expect(run.stderr).toBe("");
      const statistics = manifest.tensors.filter(({ role }) => role === "movingStatistic").length;
      const count = manifest.tensors.length - (name === "weights" ? 0 : statistics);
      expect(run.stdout).toBe(`${count} tensors equal\n`);
    });
  },
);

/** Compares as bits with the expected vector. */
const check = `
import sys

folder, kind = sys.argv[1:]
found = read_tensors(folder, kind)
expected = np.fromfile(os.path.join(folder, "..", "expected.bin"), dtype=np.uint32)
with open(os.path.join(folder, "coordinator.parameters.json")) as file:
    tensors = {tensor["name"]: tensor for tensor in json.load(file)["tensors"]}
for name, values in found.items():
    assert list(values.shape) == tensors[name]["shape"], name
    begin = tensors[name]["offset"]
    assert (values.reshape(-1).view(np.uint32) == expected[begin : begin + values.size]).all(), name
print(len(found), "tensors equal")
`;
