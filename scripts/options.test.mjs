import { spawnSync } from "node:child_process";
import path from "node:path";
import { expect, test } from "vitest";
import { root } from "./workspace.mjs";

test.each([
  ["scripts/soak.mjs --replicas 2", "--replicas 2: expected 0 or 1"],
  ["scripts/soak.mjs --nats-nodes two", "--nats-nodes two: expected 1 or 3"],
  ["scripts/soak.mjs --minutes soon", "--minutes soon: expected a number of at least 0.1"],
  ["scripts/soak.mjs --minutes=", "--minutes : expected a number of at least 0.1"],
  ["scripts/soak.mjs --seed 1.5", "--seed 1.5: expected an integer of at least 0"],
  ["scripts/soak.mjs --minutes --json", "Option '--minutes' argument is ambiguous."],
  ["scripts/test-docs.mjs --no", "Unknown option '--no'"],
  ["bench/zoo.mjs --precision int4", "--precision int4: expected float32 or bf16"],
  ["bench/convergence.mjs --study mnist", "--study mnist: expected lenet5 or cifar-cnn"],
  ["bench/convergence.mjs --workers 2,0", "--workers 0: expected an integer of at least 1"],
  ["bench/memory.mjs --steps 3", "--steps 3: expected an integer of at least 200"],
  ["bench/all.mjs compose nothing", "nothing: expected start, scale, slow, train, photographs"],
  ["bench/all.mjs compose --codecs float8", "--codecs float8: expected one of float32, float16, int8, topK"],
  ["bench/all.mjs compose --rounds none", "--rounds none: expected an integer of at least 1"],
])("%s is refused in one line", (line, expected) => {
  const [script = "", ...args] = line.split(" ");
  const run = spawnSync(process.execPath, [path.join(root, script), ...args], { encoding: "utf8" });
  expect(run.stdout + run.stderr).toBe(`${expected}\n`);
  expect(run.status).toBe(2);
});
