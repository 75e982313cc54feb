import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DownpourError, exitCodeOf } from "@downpour/errors";
import { expect, test } from "vitest";
import { checkJob, type Override, parseJob, readJob } from "./parse.ts";

const minimal = {
  name: "first-job",
  data: { set: { name: "digits" } },
  model: { name: "mlp" },
  optimizer: { name: "sgd" },
  learningRate: { initial: 0.1 },
};

const minimalYaml = `
name: first-job
data: { set: { name: digits } }
model: { name: mlp }
optimizer: { name: sgd }
learningRate: { initial: 0.1 }
`;

/** The usage error that `act` throws. */
function refusalOf(act: () => unknown): DownpourError {
  let thrown: unknown;
  try {
    act();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(DownpourError);
  expect((thrown as DownpourError).code).toBe("usage");
  expect(exitCodeOf(thrown)).toBe(2);
  return thrown as DownpourError;
}

/** The lines of the message that speak of one mistake each. */
function mistakesIn(value: unknown): string[] {
  const { message } = refusalOf(() => checkJob(value, "job.yaml"));
  const lines = message.split("\n");
  expect(lines[0]).toBe("job.yaml is not a valid job file:");
  expect(lines.at(-1)).toMatch(/docs\/job-file\.md/);
  return lines.slice(1, -1).map((line) => line.trim());
}

test("a minimal job gets every default", () => {
  expect(parseJob(minimalYaml, "job.yaml")).toEqual({
    name: "first-job",
    seed: 1,
    data: {
      set: { name: "digits" },
      validation: 0.1,
      batchSize: 64,
      shardBatches: 16,
      normalization: { kind: "perChannel" },
      unreadableMax: 100,
      download: true,
    },
    model: { name: "mlp", hiddenUnits: [256, 128], activation: "relu" },
    optimizer: { name: "sgd", weightDecay: 0, weightDecayL1: 0 },
    learningRate: { initial: 0.1, schedule: { kind: "constant" } },
    gradient: { clipNorm: "auto" },
    consistency: { kind: "async" },
    staleness: { policy: "none" },
    wire: { push: { codec: "float32" }, pull: "float32" },
    protection: { warmStart: true, adaptToWorkers: true, divergenceGuard: true },
    training: { epochs: 10, refusedBatchesMax: 1000, statisticsDecay: 0.95 },
    evaluation: {
      everyEpochs: 1,
      batchSize: 250,
      keep: "best",
      monitor: "accuracy",
      recalibrationBatches: 0,
    },
    compute: { mode: "graph", precision: "float32" },
    worker: { device: "auto", threads: 1, overlap: false, pushEvery: 1, pullEvery: 1 },
    cluster: {
      workers: 2,
      servers: 2,
      replicas: 0,
      applyThreads: 1,
      host: "127.0.0.1",
      heartbeatIntervalMs: 1000,
      memberTimeoutMs: 10_000,
      recoveryTimeoutMs: 600_000,
      leaseMs: 20_000,
      startTimeoutMs: 60_000,
      requestTimeoutMs: 30_000,
      serverRestartsMax: 10,
      workerRestartsMax: 3,
      state: "embedded",
      nats: { servers: ["127.0.0.1:4222"], replicas: 1 },
    },
    logging: { tensorboard: true },
    dashboard: { enabled: true, host: "127.0.0.1" },
    checkpoint: { everySeconds: 60, megabytesPerSecond: 16, keepLast: 2, keepBest: 1 },
  });
});

test("a job with every default filled in is a valid job, and stays as it is", () => {
  const job = parseJob(minimalYaml, "job.yaml");
  expect(checkJob(JSON.parse(JSON.stringify(job)), "the coordinator's job")).toEqual(job);
});

test.each([
  [{ name: "momentum" }, { momentum: 0.9, weightDecay: 0 }],
  [{ name: "nesterov" }, { momentum: 0.9, weightDecay: 0 }],
  [{ name: "adagrad" }, { initialAccumulator: 0, epsilon: 1e-10, weightDecay: 0 }],
  [{ name: "rmsprop" }, { alpha: 0.99, epsilon: 1e-8, momentum: 0, weightDecay: 0 }],
  [{ name: "adam" }, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }],
  [{ name: "adamw" }, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 }],
  [{ name: "lars" }, { momentum: 0.9, trustCoefficient: 0.001, weightDecay: 0 }],
])("optimizer %j gets the usual hyperparameters", (optimizer, expected) => {
  const filledIn = { ...optimizer, weightDecayL1: 0, ...expected };
  expect(checkJob({ ...minimal, optimizer }, "job.yaml").optimizer).toEqual(filledIn);
});

test("optional sections that are mentioned get their defaults", () => {
  const job = checkJob(
    {
      ...minimal,
      learningRate: { initial: 0.1, warmup: { epochs: 2 }, plateau: {} },
      training: { earlyStopping: {} },
    },
    "job.yaml",
  );
  expect(job.learningRate.warmup).toEqual({ epochs: 2, from: 0 });
  expect(job.learningRate.plateau).toEqual({
    monitor: "loss",
    factor: 0.1,
    patience: 10,
    threshold: 1e-4,
    thresholdMode: "relative",
    cooldown: 0,
    minimumRate: 0,
    minimumChange: 1e-8,
  });
  expect(job.training.earlyStopping).toEqual({
    monitor: "loss",
    patience: 5,
    minimumDelta: 0,
    startEpoch: 0,
  });
});

test.each([
  ["an unknown key at the top", { speed: 3 }, /^speed: unknown key/],
  [
    "an unknown key inside",
    { data: { ...minimal.data, batch: 3 } },
    /^data\.batch: unknown key; known here: set, validation, .*batchSize/,
  ],
  [
    "a key of another optimizer",
    { optimizer: { name: "sgd", momentum: 0.9 } },
    /^optimizer\.momentum: unknown key/,
  ],
  ["a text for a number", { seed: "seven" }, /^seed: expected number, .*; found "seven"$/],
  ["a number for a text", { name: 7 }, /^name: expected string, .*; found 7$/],
  ["nothing for a section", { training: null }, /^training: expected object, .*; found null$/],
  ["a fraction of an epoch", { training: { epochs: 1.5 } }, /^training\.epochs: expected int.*; found 1\.5$/],
  ["no epoch", { training: { epochs: 0 } }, /^training\.epochs: expected number to be >=1; found 0$/],
  [
    "a rate of 0",
    { learningRate: { initial: 0 } },
    /^learningRate\.initial: expected number to be >0; found 0$/,
  ],
  [
    "a rate that is no number",
    { learningRate: { initial: Number.NaN } },
    /^learningRate\.initial: .*; found NaN$/,
  ],
  [
    "an infinite rate",
    { learningRate: { initial: Number.POSITIVE_INFINITY } },
    /^learningRate\.initial: .*; found Infinity$/,
  ],
  [
    "a momentum of 1",
    { optimizer: { name: "momentum", momentum: 1 } },
    /^optimizer\.momentum: expected number to be <1; found 1$/,
  ],
  [
    "statistics that never move",
    { training: { statisticsDecay: 1 } },
    /^training\.statisticsDecay: expected number to be <1; found 1$/,
  ],
  [
    "statistics of the latest batch alone",
    { training: { statisticsDecay: 0 } },
    /^training\.statisticsDecay: expected number to be >0; found 0$/,
  ],
  [
    "half a batch to recalibrate on",
    { evaluation: { recalibrationBatches: 0.5 } },
    /^evaluation\.recalibrationBatches: expected int.*; found 0\.5$/,
  ],
  [
    "fewer than no batches to recalibrate on",
    { evaluation: { recalibrationBatches: -1 } },
    /^evaluation\.recalibrationBatches: expected number to be >=0; found -1$/,
  ],
  [
    "all examples for validation",
    { data: { ...minimal.data, validation: -3 } },
    /^data\.validation: .*; found -3$/,
  ],
  [
    "an unknown model",
    { model: { name: "resnet-1000" } },
    /^model\.name: expected one of mlp, lenet5, cifar-cnn, .*resnet56, module; found "resnet-1000"$/,
  ],
  [
    "an unknown data set",
    { data: { set: { name: "imagenet" } } },
    /^data\.set\.name: expected one of digits, mnist, cifar10, .*, csv; found "imagenet"$/,
  ],
  ["a model without name", { model: {} }, /^model\.name: expected one of mlp, .*; found nothing$/],
  [
    "an unknown schedule",
    { learningRate: { initial: 0.1, schedule: { kind: "stairs" } } },
    /^learningRate\.schedule\.kind: expected one of constant, step, .*; found "stairs"$/,
  ],
  [
    "a step schedule without steps",
    { learningRate: { initial: 0.1, schedule: { kind: "step" } } },
    /^learningRate\.schedule: .*exactly one of everyEpochs and atEpochs; found \{"kind":"step"\}$/,
  ],
  [
    "a step schedule with both kinds of steps",
    { learningRate: { initial: 0.1, schedule: { kind: "step", everyEpochs: 2, atEpochs: [3] } } },
    /^learningRate\.schedule: .*exactly one of everyEpochs and atEpochs/,
  ],
  ["a name with capitals", { name: "First Job" }, /^name: expected lower-case letters.*; found "First Job"$/],
  [
    "an element of a list",
    { model: { name: "mlp", hiddenUnits: [64, 0] } },
    /^model\.hiddenUnits\.1: expected number to be >=1; found 0$/,
  ],
])("refuses %s, naming the path, the value and what was expected", (_, change, expected) => {
  const mistakes = mistakesIn({ ...minimal, ...change });
  expect(mistakes).toHaveLength(1);
  expect(mistakes[0]).toMatch(expected);
});

test("names each missing section", () => {
  const paths = mistakesIn({ name: "a" }).map((line) => line.split(":")[0]);
  expect(paths).toEqual(["data", "model", "optimizer", "learningRate"]);
});

test("reports all mistakes at once, one line each", () => {
  const mistakes = mistakesIn({
    ...minimal,
    name: "A!",
    seed: -1,
    training: { epochs: 0, epoch: 3, passes: 4 },
    model: { name: "resnet" },
  });
  expect(mistakes.map((line) => line.split(":")[0]).sort()).toEqual(
    ["model.name", "name", "seed", "training.epoch", "training.epochs", "training.passes"].sort(),
  );
});

test("a replica needs another server", () => {
  const withServers = (servers: number) => ({ ...minimal, cluster: { servers, replicas: 1 } });
  expect(() => checkJob(withServers(1), "job.yaml")).toThrow(
    /cluster\.replicas: must be less than cluster\.servers: a copy lies on another server; found 1/,
  );
  expect(checkJob(withServers(2), "job.yaml").cluster.replicas).toBe(1);
});

test("the member time-out must be more than two heartbeats", () => {
  const withTimeout = (memberTimeoutMs: number) => ({
    ...minimal,
    cluster: { heartbeatIntervalMs: 1000, memberTimeoutMs },
  });
  expect(mistakesIn(withTimeout(2000))).toEqual([
    expect.stringMatching(/^cluster\.memberTimeoutMs: must be more than twice .*; found 2000$/),
  ]);
  expect(checkJob(withTimeout(2001), "job.yaml").cluster.memberTimeoutMs).toBe(2001);
});

test.each([
  ["an open bracket", "name: [1, 2"],
  ["a key given twice", `${minimalYaml}name: again\n`],
  ["a second document", `${minimalYaml}---\nname: second\n`],
  ["an alias without an anchor", `${minimalYaml}seed: *nowhere\n`],
  [
    "aliases that multiply",
    "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
  ],
])("refuses YAML with %s, naming the file", (_, text) => {
  expect(refusalOf(() => parseJob(text, "broken.yaml")).message).toMatch(/^broken\.yaml is not valid YAML: /);
});

test("says where YAML is broken", () => {
  expect(refusalOf(() => parseJob("name: a\nseed: [1", "broken.yaml")).message).toMatch(/line 2, column 9/);
});

test.each([
  ["a list", "- name: a\n"],
  ["a text", "hello\n"],
  ["a number", "42\n"],
  ["nothing at all", ""],
])("refuses YAML that is %s instead of a mapping", (_, text) => {
  expect(refusalOf(() => parseJob(text, "list.yaml")).message).toMatch(/^list\.yaml: expected a mapping/);
});

test("reads a job from a file, and names a file that is missing", async () => {
  const folder = await mkdtemp(join(tmpdir(), "downpour-job-"));
  try {
    const file = join(folder, "job.yaml");
    await writeFile(file, minimalYaml);
    expect((await readJob(file)).name).toBe("first-job");

    const missing = join(folder, "no-such-job.yaml");
    const error = await readJob(missing).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DownpourError);
    expect(error).toMatchObject({ code: "usage", facts: { file: missing } });
    expect((error as Error).message).toContain(missing);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("overrides replace values, and make the levels that are missing", () => {
  const overrides: Override[] = [
    { path: ["seed"], value: 7 },
    { path: ["data", "set", "trainCount"], value: 500 },
    { path: ["cluster", "workers"], value: 8 },
    { path: ["learningRate", "schedule"], value: { kind: "cosine" } },
    { path: ["learningRate", "schedule", "finalFraction"], value: 0.5 },
  ];
  const job = parseJob(minimalYaml, "job.yaml", overrides);
  expect(job.seed).toBe(7);
  expect(job.data.set).toEqual({ name: "digits", trainCount: 500 });
  expect(job.cluster).toMatchObject({ workers: 8, servers: 2 });
  expect(job.learningRate.schedule).toEqual({ kind: "cosine", finalFraction: 0.5 });
});

test("a later override of the same path wins", () => {
  const overrides = [3, 4].map((value) => ({ path: ["training", "epochs"], value }));
  expect(parseJob(minimalYaml, "job.yaml", overrides).training.epochs).toBe(4);
});

test("an override is checked like the file", () => {
  const overrides = [{ path: ["cluster", "workers"], value: 0 }];
  expect(refusalOf(() => parseJob(minimalYaml, "job.yaml", overrides)).message).toMatch(
    /cluster\.workers: expected number to be >=1; found 0/,
  );
});

test("overrides do not change their own values, nor does checking change the job it is given", () => {
  const schedule = Object.freeze({ kind: "cosine" });
  const overrides = [
    { path: ["learningRate", "schedule"], value: { ...schedule } },
    { path: ["seed"], value: 5 },
  ];
  const before = JSON.stringify(overrides);
  parseJob(minimalYaml, "job.yaml", overrides);
  expect(JSON.stringify(overrides)).toBe(before);

  const given = structuredClone(minimal);
  checkJob(given, "job.yaml");
  expect(given).toEqual(minimal);
});

test("an override that sets a value, and one that goes into it, leave the first one's value alone", () => {
  const value = { kind: "cosine" };
  parseJob(minimalYaml, "job.yaml", [
    { path: ["learningRate", "schedule"], value },
    { path: ["learningRate", "schedule", "finalFraction"], value: 0.5 },
  ]);
  expect(value).toEqual({ kind: "cosine" });
});

test.each([
  [
    "a replica where there is no other server",
    { cluster: { servers: 1, replicas: 1 } },
    /cluster\.replicas.*less than cluster\.servers/,
  ],
  [
    "a password in the address of NATS",
    { cluster: { nats: { servers: ["nats://a:secret@h:4222"] } } },
    /without user and password/,
  ],
  ["no checkpoint kept", { checkpoint: { keepLast: 0 } }, /checkpoint\.keepLast/],
  ["two copies in NATS", { cluster: { nats: { replicas: 2 } } }, /cluster\.nats\.replicas/],
])("%s is refused", (_, keys, message) => {
  expect(() => checkJob({ ...minimal, ...keys }, "job.yaml")).toThrow(message);
});
