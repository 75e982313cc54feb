import { parseJob } from "@downpour/job";
import { describe, expect, it } from "vitest";
import { dataDefaults, jobTemplate, type TemplateAnswers, templateData } from "./job-template.ts";

function answersFor(data: TemplateAnswers["data"]): TemplateAnswers {
  const { model, size, epochs } = dataDefaults[data];
  return { name: "mine", data, path: "a/train", testPath: "a/test", size, model, epochs, workers: 3 };
}

describe("the template of a job file", () => {
  it.each(templateData)("of %s is a job file that can be trained, with the answers in it", (data) => {
    const text = jobTemplate(answersFor(data));
    const job = parseJob(text, "the template");
    expect(job).toMatchObject({
      name: "mine",
      data: { set: { name: data } },
      model: { name: dataDefaults[data].model },
      training: { epochs: dataDefaults[data].epochs },
      cluster: { workers: 3 },
    });
    expect(text.match(/^ *# /gm)?.length).toBeGreaterThan(10);
  });

  it("names paths and sizes of own data, whatever is in them", () => {
    const path = "my {photos}: #1";
    expect(
      parseJob(jobTemplate({ ...answersFor("images"), path, size: 64 }), "the template").data.set,
    ).toMatchObject({
      path,
      height: 64,
      width: 64,
    });
    expect(parseJob(jobTemplate(answersFor("csv")), "the template").data.set).toMatchObject({
      train: "a/train",
      test: "a/test",
    });
    expect(parseJob(jobTemplate(answersFor("tfrecord")), "the template").data.set).toMatchObject({
      train: ["a/train"],
      test: ["a/test"],
    });
  });

  it("has comments that are keys when the mark is taken away", () => {
    const text = jobTemplate(answersFor("digits"))
      .replace("  # plateau:", "  plateau:")
      .replace("  # earlyStopping:", "  earlyStopping:")
      .replace(/# How training images .*example: /, "");
    const job = parseJob(text, "the template");
    expect(job.learningRate.plateau?.factor).toBe(0.5);
    expect(job.training.earlyStopping?.patience).toBe(5);
    expect(job.data.augmentation?.affine?.rotateDegrees).toBe(10);
  });
});
