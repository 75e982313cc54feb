import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { z } from "zod";
import { jobFileReference } from "./reference.ts";
import { jobFileSchema } from "./schema.ts";

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly const?: unknown;
}

/** Paths of all keys that hold a value, found by a walk of its own. */
function leafPaths(node: Node, path: string): string[] {
  const branches = [...(node.oneOf ?? []), ...(node.anyOf ?? [])].filter((branch) => branch.properties);
  if (branches.length > 0) return branches.flatMap((branch) => leafPaths(branch, path));
  if (node.properties === undefined) return node.const === undefined ? [path] : [];
  return Object.entries(node.properties).flatMap(([key, child]) =>
    leafPaths(child, path === "" ? key : `${path}.${key}`),
  );
}

const schema = z.toJSONSchema(jobFileSchema, { io: "input" }) as Node;

test("the reference has a row for every key of the schema", () => {
  const paths = new Set(leafPaths(schema, ""));
  expect(paths.size).toBeGreaterThan(50);
  expect(paths).toContain("learningRate.plateau.minimumChange");
  const reference = jobFileReference();
  expect([...paths].filter((path) => !reference.includes(`\n| \`${path}\` `))).toEqual([]);
});

test("the reference names every data set, model, optimizer and schedule", () => {
  const reference = jobFileReference();
  for (const choice of [
    "data.set: name digits",
    "data.set: name mnist",
    "data.set: name cifar10",
    "data.set: name cifar100",
    "data.set: name images",
    "data.set: name tfrecord",
    "data.set: name csv",
    "data.normalization: kind perChannel",
    "data.normalization: kind meanImage",
    "data.normalization: kind none",
    "model: name mlp",
    "model: name lenet5",
    "model: name cifar-cnn",
    "model: name alexnet",
    "model: name vgg11",
    "model: name vgg16",
    "model: name vgg19",
    "model: name googlenet",
    "model: name resnet18",
    "model: name resnet34",
    "model: name resnet50",
    "model: name resnet101",
    "model: name resnet152",
    "model: name resnet20",
    "model: name resnet32",
    "model: name resnet56",
    "model: name module",
    "optimizer: name sgd",
    "optimizer: name momentum",
    "optimizer: name nesterov",
    "optimizer: name adagrad",
    "optimizer: name adam",
    "learningRate.schedule: kind constant",
    "learningRate.schedule: kind step",
    "learningRate.schedule: kind exponential",
    "learningRate.schedule: kind cosine",
    "learningRate.schedule: kind polynomial",
  ]) {
    expect(reference).toMatch(new RegExp(`^\\| \`${choice}\` +\\| choice +\\|`, "m"));
  }
});

test("every row of the reference has four cells and says what the key means", () => {
  const rows = jobFileReference()
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  expect(rows.length).toBeGreaterThan(50);
  for (const row of rows) {
    const cells = row.split("|").slice(1, -1);
    expect(cells, row).toHaveLength(4);
    expect(cells[3]?.trim(), row).not.toBe("");
  }
});

test("docs/job-file.md is the reference as the schema says it now", async () => {
  const file = new URL("../../../docs/job-file.md", import.meta.url);
  // If this fails: node packages/cli/bin/downpour.js job-file > docs/job-file.md
  expect(await readFile(file, "utf8")).toBe(jobFileReference());
});
