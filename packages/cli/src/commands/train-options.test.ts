import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { overridesOf } from "./train-options.ts";

describe("overridesOf", () => {
  it("puts each option at its place in the job file, read as YAML", () => {
    expect(
      overridesOf({ workers: "4", epochs: "2", learningRate: "1e-2", targetAccuracy: "0.9" }, {}),
    ).toEqual([
      { path: ["cluster", "workers"], value: 4 },
      { path: ["training", "epochs"], value: 2 },
      { path: ["training", "targetAccuracy"], value: 0.9 },
      { path: ["learningRate", "initial"], value: 0.01 },
    ]);
  });

  it("leaves a value that is no number for the schema to refuse", () => {
    expect(overridesOf({ workers: "many" }, {})).toEqual([{ path: ["cluster", "workers"], value: "many" }]);
  });

  it("sets any key by its path, after the options", () => {
    expect(overridesOf({ set: ["model={name: mlp}", "optimizer.momentum=0.5"], seed: "3" }, {})).toEqual([
      { path: ["seed"], value: 3 },
      { path: ["model"], value: { name: "mlp" } },
      { path: ["optimizer", "momentum"], value: 0.5 },
    ]);
  });

  it("prefers --data-dir to the environment, and makes either absolute", () => {
    const directoryOf = (option: string | undefined, environment: string | undefined) =>
      overridesOf(option === undefined ? {} : { dataDir: option }, { dataDirectory: environment }).at(-1)
        ?.value;
    expect(directoryOf("data", "/env")).toBe(resolve("data"));
    expect(directoryOf(undefined, "/env")).toBe("/env");
    expect(directoryOf(undefined, undefined)).toBeUndefined();
  });

  it("prefers --device to the environment, and either to the job file", () => {
    expect(overridesOf({ device: "webgpu" }, { device: "portable" })).toEqual([
      { path: ["worker", "device"], value: "webgpu" },
    ]);
    expect(overridesOf({}, { device: "portable" })).toEqual([
      { path: ["worker", "device"], value: "portable" },
    ]);
  });

  it.each(["momentum", "=3", ".a=3", "__proto__.x=1"])("refuses --set %s, with an example", (text) => {
    expect(() => overridesOf({ set: [text] }, {})).toThrow(/expected PATH=VALUE, for example/);
  });
});
