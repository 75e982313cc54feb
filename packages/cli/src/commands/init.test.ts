import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readJob } from "@downpour/job";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeReporter } from "../reporter.ts";
import { type Ask, init } from "./init.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-init-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const silent = { ...makeReporter(true), result: () => undefined };

/** Answers questions by their beginning, and notes them. */
function answering(answers: Record<string, string>): { asked: string[]; ask: Ask } {
  const asked: string[] = [];
  return {
    asked,
    ask: async (question, fallback) => {
      asked.push(question);
      const known = Object.keys(answers).find((beginning) => question.startsWith(beginning));
      return known === undefined ? fallback : (answers[known] as string);
    },
  };
}

describe("init", () => {
  it("asks a few questions, takes what is usual where nothing is said, and names the job by its file", async () => {
    const file = join(folder, "My Flowers.yaml");
    const { asked, ask } = answering({ "Data set": "images", Folder: "flowers", Epochs: "7" });
    await init(file, {}, silent, ask);
    expect(asked.map((question) => question.split(/[ (,]/)[0])).toEqual([
      ...["Data", "Folder", "Height", "Network", "Epochs", "Workers"],
    ]);
    expect(await readJob(file)).toMatchObject({
      name: "my-flowers",
      data: { set: { name: "images", path: "flowers", height: 112 } },
      model: { name: "resnet18" },
      training: { epochs: 7 },
    });
  });

  it("asks only for what no option says, and nothing with --yes", async () => {
    const { asked, ask } = answering({});
    await init(join(folder, "a.yaml"), { data: "mnist", model: "mlp", workers: "3" }, silent, ask);
    expect(asked).toEqual(["Epochs"]);
    await init(join(folder, "b.yaml"), { yes: true, data: "cifar10" }, silent);
    expect(await readJob(join(folder, "b.yaml"))).toMatchObject({ name: "b", model: { name: "resnet20" } });
  });

  it("overwrites nothing, and writes nothing that could not be trained", async () => {
    const file = join(folder, "mine.yaml");
    writeFileSync(file, "mine");
    await expect(init(file, { yes: true }, silent)).rejects.toThrow(
      `${file} exists already; name another file`,
    );
    expect(readFileSync(file, "utf8")).toBe("mine");
    const other = join(folder, "other.yaml");
    for (const [options, message] of [
      [{ data: "imagenet" }, "--data imagenet: expected one of digits, mnist"],
      [{ model: "resnet21" }, "--model resnet21: expected one of mlp, lenet5"],
      [{ workers: "0" }, "--workers 0: expected an integer of 1 to 1024"],
    ] as const) {
      await expect(init(other, { yes: true, ...options }, silent)).rejects.toThrow(message);
    }
    await expect(init(join(folder, "no", "folder.yaml"), { yes: true }, silent)).rejects.toThrow(
      "can't write",
    );
    expect(existsSync(other)).toBe(false);
  });
});
