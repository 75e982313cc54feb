import { readFileSync } from "node:fs";
import { jobFileSchema } from "@downpour/job";
import { buildModel, modelWeights } from "@downpour/models";
import { describe, expect, it } from "vitest";
import { zooEntry } from "../bench/zoo-inputs.ts";
import { datasetFacts } from "./datasets.ts";
import { modelFacts } from "./models.ts";

/** Names of a choice in the schema of the job file. */
function namesIn(
  value: unknown,
  parse: (value: unknown) => { error?: { issues: readonly object[] } | undefined },
) {
  const issue = parse(value).error?.issues[0] as { options?: readonly string[] } | undefined;
  return [...(issue?.options ?? [])];
}

describe("the list of networks", () => {
  it("has every network of the job file", () => {
    const names = namesIn({ name: "?" }, (value) => jobFileSchema.shape.model.safeParse(value));
    expect(modelFacts.map(({ name }) => name).sort()).toEqual(
      names.filter((name) => name !== "module").sort(),
    );
  });

  it.each(["mlp", "lenet5", "cifar-cnn", "resnet20", "resnet56"] as const)(
    "counts the parameters of %s",
    async (name) => {
      const { model, input } = zooEntry(name);
      const built = await buildModel(model, input, 1);
      const trained = modelWeights(built.model).filter(({ trainable }) => trainable);
      const count = trained.reduce(
        (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
        0,
      );
      built.model.dispose();
      expect(modelFacts.find((facts) => facts.name === name)?.parameters).toBe(count);
    },
  );

  it("says the same as the table in the package's own page", () => {
    const page = readFileSync(new URL("../../../models/README.md", import.meta.url), "utf8");
    for (const { name, parameters } of modelFacts) {
      if (name === "mlp") continue;
      const section = page
        .slice(page.indexOf(`| \`${name}\``))
        .split("\n")
        .slice(0, 2)
        .join("\n");
      expect(section, name).toContain(parameters.toLocaleString("en"));
    }
  });
});

it("lists every data set of the job file", () => {
  const set = jobFileSchema.shape.data.shape.set;
  expect(datasetFacts.map(({ name }) => name)).toEqual(
    namesIn({ name: "?" }, (value) => set.safeParse(value)),
  );
});
