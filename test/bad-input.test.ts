import { copyFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, downpour, type Finished, makeFolder, processesWith, smallJob } from "./harness.ts";

cleanUpAfterEach();

const dataDirectory = process.env.DOWNPOUR_DATA_DIR;

/** Runs `downpour train` on a job text. */
async function train(text: string, ...args: string[]): Promise<Finished & { run: string }> {
  const folder = makeFolder();
  const file = join(folder, "job.yaml");
  writeFileSync(file, text);
  const run = join(folder, "run");
  return { ...(await downpour(["train", file, "--run-dir", run, ...args]).finished), run };
}

/** One clear message on standard error, without a stack trace. */
function expectMessage({ status, stderr }: Finished, wantedStatus: number, ...parts: RegExp[]): void {
  for (const part of parts) expect(stderr).toMatch(part);
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect(status).toBe(wantedStatus);
}

describe("a job file that can't be run", () => {
  it.each<[string, string, RegExp]>([
    ["an unknown key", smallJob.replace("seed: 7", "sead: 7"), /sead: unknown key/],
    ["a wrong type", smallJob.replace("batchSize: 20", "batchSize: many"), /data\.batchSize: .*found "many"/],
    ["an impossible value", smallJob.replace("epochs: 3", "epochs: 0"), /training\.epochs: .*>=1; found 0/],
    [
      "an unknown model",
      smallJob.replace("name: mlp", "name: mpl"),
      /model\.name: expected one of mlp, lenet5, cifar-cnn, .*; found "mpl"/,
    ],
    ["broken YAML", "name: [", /not valid YAML/],
    ["a split larger than the data", smallJob.replace("validation: 100", "validation: 5000"), /5000/],
  ])("with %s ends with status 2 and names it", async (_, text, expected) => {
    const finished = await train(text);
    expectMessage(finished, 2, expected);
    expect(existsSync(finished.run)).toBe(false);
  });

  it("that is missing ends with status 2 and its name", async () => {
    expectMessage(
      await downpour(["train", "/no/such/job.yaml"]).finished,
      2,
      /can't read the job file \/no\/such\/job\.yaml/,
    );
  });

  it("is refused as one JSON object with --json", async () => {
    const { status, stdout } = await downpour(["--json", "train", "/no/such/job.yaml"]).finished;
    expect(status).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ type: "error", code: "usage" });
  });

  it("or a mistyped option, is one JSON object with --json", async () => {
    const { status, stdout, stderr } = await downpour(["--json", "train", "x.yaml", "--wrokers", "3"])
      .finished;
    expect([status, stderr]).toEqual([2, ""]);
    expect(JSON.parse(stdout)).toMatchObject({
      type: "error",
      code: "usage",
      message: expect.stringMatching(/--wrokers/),
    });
  });

  it("shows where an error came from with --verbose only", async () => {
    const { stderr } = await downpour(["--verbose", "train", "/no/such/job.yaml"]).finished;
    expect(stderr).toMatch(/^ {4}at /m);
  });
});

describe("an option that can't be used", () => {
  it.each<[string, string[], RegExp]>([
    ["an unknown option", ["--wrokers", "3"], /unknown option '--wrokers'.*--workers/s],
    ["a value out of range", ["--workers", "0"], /cluster\.workers: .*>=1; found 0/],
    ["--set without a value", ["--set", "seed"], /--set seed: expected PATH=VALUE/],
    ["a value that is no YAML", ["--workers", "["], /--workers \[: expected a number, a word or YAML/],
    ["--set to what is no YAML", ["--set", "seed=["], /--set seed \[: expected a number/],
    ["--set of an unknown key", ["--set", "optimizer.beta=0.5"], /optimizer\.beta: unknown key/],
  ])("%s ends with status 2", async (_, args, expected) => {
    expectMessage(await train(smallJob, ...args), 2, expected);
  });

  it("an unknown command ends with status 2", async () => {
    expectMessage(await downpour(["trian"]).finished, 2, /unknown command 'trian'.*train/s);
  });

  it("a run directory that holds a run is not overwritten", async () => {
    const run = makeFolder();
    writeFileSync(join(run, "job.yaml"), "precious");
    expectMessage(await train(smallJob, "--run-dir", run), 2, /holds a run already; choose another folder/);
    expect(readFileSync(join(run, "job.yaml"), "utf8")).toBe("precious");
  });
});

describe("data files", () => {
  const mnistJob = smallJob.replace("{ name: digits, trainCount: 1100, testCount: 200 }", "{ name: mnist }");

  it("that are missing are named, with the folder and the next step", async () => {
    const folder = makeFolder();
    expectMessage(
      await train(mnistJob, "--data-dir", folder),
      1,
      /train-images-idx3-ubyte/,
      new RegExp(folder),
    );
  });

  it("that are cut short are refused with the size expected and found", async () => {
    const folder = makeFolder();
    mkdirSync(join(folder, "mnist"));
    for (const name of ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]) {
      writeFileSync(join(folder, "mnist", `${name}-ubyte.gz`), Buffer.alloc(100));
    }
    const finished = await train(mnistJob, "--data-dir", folder);
    expectMessage(finished, 1, /train-images-idx3-ubyte\.gz/, /9,?912,?422/, /\b100\b/);
  });

  it.skipIf(dataDirectory === undefined)(
    "whose last bytes are gone are refused (needs DOWNPOUR_DATA_DIR with MNIST)",
    async () => {
      const folder = makeFolder();
      mkdirSync(join(folder, "mnist"));
      for (const name of ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]) {
        const file = `${name}-ubyte.gz`;
        copyFileSync(join(dataDirectory ?? "", "mnist", file), join(folder, "mnist", file));
      }
      truncateSync(join(folder, "mnist", "t10k-labels-idx1-ubyte.gz"), 4000);
      expectMessage(
        await train(mnistJob, "--data-dir", folder),
        1,
        /t10k-labels-idx1-ubyte\.gz/,
        /4542|4,542/,
        /4000|4,000/,
      );
    },
  );
});

describe("a user's model", () => {
  const moduleJob = smallJob.replace(
    "{ name: mlp, hiddenUnits: [32] }",
    "{ name: module, path: ./model.mjs }",
  );

  it.each<[string, string, RegExp]>([
    ["can't be parsed", "export default (", /model\.mjs: .*; "node --check .*model\.mjs" shows where/],
    [
      "throws in a step",
      `export default ({ tf, input }) => {
        class Failing extends tf.layers.Layer {
          static className = "Failing";
          call() { throw new Error("no such thing"); }
        }
        const inputShape = [input.height, input.width, input.channels];
        return tf.sequential({ layers: [
          tf.layers.flatten({ inputShape }), tf.layers.dense({ units: 10 }), new Failing({}),
        ] });
      }`,
      /model\.mjs fails in a step: no such thing \(line 4\)/,
    ],
  ])("that %s ends the job before training, naming the file and where", async (_, text, expected) => {
    const folder = makeFolder();
    writeFileSync(join(folder, "model.mjs"), text);
    writeFileSync(join(folder, "job.yaml"), moduleJob);
    const args = ["train", join(folder, "job.yaml"), "--run-dir", join(folder, "run")];
    const finished = await downpour(args).finished;
    expectMessage(finished, 2, expected);
    expect(finished.stderr).not.toMatch(/training begins/);
  });
});

describe("a port", () => {
  it("that is in use is named, with the next step, and nothing is left running", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    try {
      const finished = await train(smallJob, "--port", String(port));
      expect(processesWith(finished.run)).toEqual([]);
      expectMessage(
        finished,
        1,
        new RegExp(`can't listen on 127\\.0\\.0\\.1:${port}: .*choose another`, "s"),
      );
    } finally {
      server.close();
    }
  });
});
