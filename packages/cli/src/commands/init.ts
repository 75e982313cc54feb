import { access, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, relative, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { DownpourError, messageOf } from "@downpour/errors";
import { parseJob } from "@downpour/job";
import type { Command } from "commander";
import { integerOption, wordOption } from "../bench/options.ts";
import { dataDefaults, jobTemplate, type TemplateAnswers, templateData } from "../job-template.ts";
import type { Reporter } from "../reporter.ts";
import { modelFacts } from "./models.ts";

/** Options of `downpour init`, as text. */
export interface InitOptions {
  readonly yes?: boolean;
  readonly data?: string;
  readonly path?: string;
  readonly testPath?: string;
  readonly size?: string;
  readonly model?: string;
  readonly epochs?: string;
  readonly workers?: string;
}

/** Status of a command that was interrupted, as shells have it: 128 + SIGINT. */
const interruptedStatus = 130;

/** Asks a question; the answer is `fallback` where nothing is said. */
export type Ask = (question: string, fallback: string) => Promise<string>;

/** Adds `downpour init`. */
export function addInit(program: Command, reporter: () => Reporter): void {
  program
    .command("init")
    .description("write a job file with comments, after a few questions; overwrites nothing")
    .argument("[file]", "job file to write", "job.yaml")
    .option("--yes", "ask nothing: take the options given, and what is usual for the rest")
    .option("--data <name>", templateData.join(", "))
    .option("--path <path>", "folder of images, or file of the training data, of own data")
    .option("--test-path <file>", "file of the test data, of csv and tfrecord")
    .option("--size <pixels>", "height and width that own images are brought to")
    .option("--model <name>", 'network; "downpour models" lists them')
    .option("--epochs <count>", "passes over the training data")
    .option("--workers <count>", "workers")
    .addHelpText(
      "after",
      "\nExamples:\n  downpour init\n  downpour init digits.yaml --yes\n" +
        "  downpour init flowers.yaml --yes --data images --path flowers --model resnet18 --workers 4",
    )
    .action(async (file: string, options: InitOptions) => {
      await init(file, options, reporter());
    });
}

/** `downpour init [FILE]`. @param ask how to ask, where questions are asked; the terminal when left out */
export async function init(file: string, options: InitOptions, reporter: Reporter, ask?: Ask): Promise<void> {
  if (await exists(file)) {
    throw new DownpourError("usage", `${file} exists already; name another file, or remove it first`);
  }
  const answers = await answersOf(file, options, ask);
  const text = jobTemplate(answers);
  // What is wrong with the answers together is said now, and not when it is trained.
  parseJob(text, file);
  try {
    await writeFile(file, text, { flag: "wx" });
  } catch (error) {
    throw new DownpourError("usage", `can't write ${file}: ${messageOf(error)}`, { cause: error });
  }
  const shown = relative(process.cwd(), resolve(file));
  reporter.result({ file: resolve(file), ...answers }, [
    `${shown}: ${answers.model} on ${answers.data}`,
    `next: npx downpour train ${shown}`,
  ]);
}

async function answersOf(file: string, options: InitOptions, ask: Ask | undefined): Promise<TemplateAnswers> {
  const terminal = ask === undefined && options.yes !== true ? terminalQuestions() : undefined;
  const question: Ask = ask ?? terminal?.ask ?? (async (_, fallback) => fallback);
  const answer = async (option: string | undefined, text: string, fallback: string) =>
    option ?? (await question(text, fallback));
  try {
    const dataText = await answer(options.data, `Data set (${templateData.join(", ")})`, "digits");
    const data = wordOption("--data", dataText, templateData);
    const usual = dataDefaults[data];
    const isOwn = data === "images" || data === "tfrecord" || data === "csv";
    const isFiles = data === "tfrecord" || data === "csv";
    const end = data === "csv" ? "csv" : "tfrecord";
    const path = isOwn
      ? await answer(
          options.path,
          data === "images" ? "Folder of images" : "File of the training data",
          isFiles ? `train.${end}` : "images",
        )
      : "";
    const testPath = isFiles ? await answer(options.testPath, "File of the test data", `test.${end}`) : "";
    const size = isOwn
      ? await answer(options.size, "Height and width of the images, in pixels", String(usual.size))
      : String(usual.size);
    const names = modelFacts.map((facts) => facts.name);
    const model = await answer(options.model, `Network (${names.join(", ")})`, usual.model);
    const epochs = await answer(options.epochs, "Epochs", String(usual.epochs));
    const workers = await answer(options.workers, "Workers", String(workersUsual()));
    return {
      ...{ name: nameOf(file), data, path, testPath },
      size: integerOption("--size", size, 1, 4096),
      model: wordOption("--model", model, names),
      epochs: integerOption("--epochs", epochs, 1, 1_000_000),
      workers: integerOption("--workers", workers, 1, 1024),
    };
  } finally {
    terminal?.close();
  }
}

/** Two show what asynchrony is; more cores than that are left to the user. */
function workersUsual(): number {
  return Math.max(1, Math.min(2, availableParallelism()));
}

/** "My Job.yaml" is "my-job". */
function nameOf(file: string): string {
  const stem = basename(file).replace(/\.ya?ml$/i, "");
  const name = stem
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, 63);
  return name === "" ? "job" : name;
}

/** Questions on standard error, so that standard output has the result alone; answers from standard input. */
function terminalQuestions(): { ask: Ask; close: () => void } {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  lines.once("SIGINT", () => process.exit(interruptedStatus));
  // Lines that come before they are asked for are kept, so that answers can be piped in.
  const answers = lines[Symbol.asyncIterator]();
  return {
    ask: async (text, fallback) => {
      lines.setPrompt(`${text} [${fallback}]: `);
      lines.prompt();
      const { done, value } = await answers.next();
      if (done === true) {
        throw new DownpourError("usage", "the answers ended before the questions did; --yes asks none");
      }
      return value.trim() === "" ? fallback : value.trim();
    },
    close: () => lines.close(),
  };
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}
