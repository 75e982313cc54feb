import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findModel } from "./find-model.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-find-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function makeFile(...path: string[]): void {
  const file = join(folder, ...path);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, "{}");
}

describe("finding a model", () => {
  it("takes a run, the name of a run in runs/, and the folder of its model", () => {
    makeFile("runs", "digits-1", "job.yaml");
    makeFile("runs", "digits-1", "model", "model.json");
    const runDirectory = join(folder, "runs", "digits-1");
    const expected = { directory: join(runDirectory, "model"), form: "tfjs", runDirectory };
    for (const named of ["runs/digits-1", "digits-1", "runs/digits-1/model", runDirectory]) {
      expect(findModel(named, folder)).toEqual(expected);
    }
  });

  it("takes an exported model, of TensorFlow.js or as safetensors", () => {
    makeFile("a", "model.json");
    makeFile("b", "topology.json");
    expect(findModel("a", folder)).toMatchObject({ form: "tfjs", runDirectory: undefined });
    expect(findModel("b", folder)).toMatchObject({ form: "safetensors", runDirectory: undefined });
  });

  it("says what is missing", () => {
    makeFile("running", "job.yaml");
    makeFile("saved", "saved_model.pb");
    makeFile("other", "file");
    expect(() => findModel("nothing", folder)).toThrow(
      "there is no run and no model at nothing; expected a run",
    );
    expect(() => findModel("running", folder)).toThrow(
      "the run has no model: it was interrupted, or is still",
    );
    expect(() => findModel("saved", folder)).toThrow("saved is a SavedModel, for TensorFlow; name the run");
    expect(() => findModel("other", folder)).toThrow("there is no model in other; expected a run directory");
  });
});
