import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { completionScript } from "./completion.ts";
import { main, makeProgram } from "./main.ts";

const folder = mkdtempSync(join(tmpdir(), "downpour-main-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

/** Runs a command in this process. */
async function run(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
  const status = await main(args);
  vi.restoreAllMocks();
  return { status, stdout, stderr };
}

/** All commands that do something, with the words that call them. */
function leaves(command: Command, path: readonly string[] = []): { path: string[]; command: Command }[] {
  return command.commands.flatMap((sub) => {
    const words = [...path, sub.name()];
    return sub.commands.length === 0 ? [{ path: words, command: sub }] : leaves(sub, words);
  });
}

const program = makeProgram(false, () => undefined);

describe("the command line", () => {
  it.each(leaves(program).map(({ path }) => path.join(" ")))(
    "has help with an example for %s",
    async (path) => {
      const { status, stdout } = await run(...path.split(" "), "--help");
      expect(status).toBe(0);
      expect(stdout).toMatch(/^Usage: downpour /);
      expect(stdout).toMatch(/\nExamples?:\n {2}downpour /);
    },
  );

  it("suggests the right command and the right option", async () => {
    const command = await run("trian", "job.yaml");
    expect(command).toMatchObject({ status: 2, stdout: "" });
    expect(command.stderr).toBe("error: unknown command 'trian'\n(Did you mean train?)\n");
    const option = await run("train", "job.yaml", "--worker", "3");
    expect(option).toMatchObject({ status: 2, stdout: "" });
    expect(option.stderr).toContain("error: unknown option '--worker'\n(Did you mean --workers?)");
  });

  it("suggests to programs, too", async () => {
    const { status, stdout, stderr } = await run("--json", "trian");
    expect([status, stderr]).toEqual([2, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ type: "error", code: "usage" });
    expect(stdout).toContain("Did you mean train?");
  });

  it("takes --json before and after the command", async () => {
    for (const args of [
      ["--json", "models"],
      ["models", "--json"],
    ]) {
      const { status, stdout } = await run(...args);
      expect(status).toBe(0);
      expect((JSON.parse(stdout) as { models: object[] }).models[0]).toMatchObject({ name: "mlp" });
    }
  });

  it.each([
    ["a model to measure that is missing", ["evaluate", "--model", "nothing"], 1, /no model at nothing/],
    ["a missing argument", ["train"], 2, /missing required argument 'job'/],
    ["a missing option", ["predict", "a.png"], 2, /required option '--model <run\|folder>' not specified/],
    [
      "a model that is missing",
      ["predict", "a.png", "--model", "nothing"],
      1,
      /there is no run and no model at nothing/,
    ],
    ["a run that is missing", ["status", "nothing"], 1, /there is no run at nothing/],
    [
      "an unknown format",
      ["export", "a", "--format", "onnx"],
      2,
      /--format onnx: expected one of tfjs, savedmodel/,
    ],
    ["an unknown shell", ["completion", "tcsh"], 2, /shell tcsh: expected one of bash, zsh, fish/],
    ["no command", [], 2, /^Usage: downpour/],
  ])("ends with the documented status and one clear line for %s", async (_, args, status, message) => {
    const found = await run(...args);
    expect(found.status).toBe(status);
    expect(found.stdout).toBe("");
    expect(found.stderr).toMatch(message);
    if (args.length > 0) expect(found.stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("lists networks and data sets with their facts", async () => {
    const models = await run("models");
    expect(models.stdout).toMatch(/\nlenet5 +61,706 +28x28x1 +10 +LeNet-5/);
    const datasets = await run("datasets");
    expect(datasets.stdout).toMatch(/\nmnist +28x28x1 +10 +60,000 +10,000 +fetched/);
  });

  it("writes a job file without questions", async () => {
    const file = join(folder, "digits.yaml");
    expect(await run("init", file, "--yes")).toMatchObject({ status: 0 });
    const again = await run("init", file, "--yes");
    expect(again.status).toBe(2);
    expect(again.stderr).toContain("exists already");
  });
});

describe("completion", () => {
  const names = program.commands.map((command) => command.name());

  it("completes commands, commands of commands and options in bash", () => {
    const script = join(folder, "completion.bash");
    writeFileSync(script, completionScript(program, "bash"));
    const complete = (...words: string[]) => {
      const line = `source ${script}; COMP_WORDS=(downpour ${words.map((word) => `"${word}"`).join(" ")}); COMP_CWORD=${words.length}; _downpour; echo "\${COMPREPLY[@]}"`;
      return spawnSync("bash", ["-c", line], { encoding: "utf8" }).stdout.trim().split(" ");
    };
    expect(complete("tr")).toEqual(["train"]);
    expect(complete("")).toEqual(expect.arrayContaining(names));
    expect(complete("bench", "co")).toEqual(["compute"]);
    expect(complete("train", "job.yaml", "--work")).toEqual(["--workers"]);
    expect(complete("--json", "predict", "a.png", "--mo")).toEqual(["--model"]);
    // Files are the shell's own matter.
    expect(complete("train", "jo")).toEqual([""]);
  });

  it.each([
    ["zsh", ["-n"]],
    ["fish", ["--no-execute"]],
  ] as const)(
    "is a script that %s understands (where it is installed), with every command",
    (shell, check) => {
      const text = completionScript(program, shell);
      for (const name of names) expect(text).toContain(name);
      const file = join(folder, `completion.${shell}`);
      writeFileSync(file, text);
      const { error, stderr } = spawnSync(shell, [...check, file], { encoding: "utf8" });
      if (error === undefined) expect(stderr).toBe("");
    },
  );
});
