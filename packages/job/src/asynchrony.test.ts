import { describe, expect, it } from "vitest";
import { adaptToWorkers, momentumAtWorkers, momentumOf, overlaps, serverOptimizer } from "./asynchrony.ts";
import { checkJob } from "./parse.ts";

function jobWith(change: object) {
  const minimal = {
    name: "job",
    data: { set: { name: "digits" } },
    model: { name: "mlp" },
    optimizer: { name: "momentum", momentum: 0.9 },
    learningRate: { initial: 0.1 },
  };
  return checkJob({ ...minimal, ...change }, "job.yaml");
}

const optimizers = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "lars"];

describe("adaptToWorkers", () => {
  it("lowers the momentum so that with asynchrony's own it is the job's (Mitliagkas et al. 2016)", () => {
    // 1 - (1 - mu') / M = mu: with mu = 0.9, mu' = 1 - 0.1 M.
    const job = jobWith({});
    const expected = [0.8, 0.7, 0.6, 0.5, 0.4];
    for (const [i, momentum] of expected.entries()) {
      const adapted = adaptToWorkers(job, i + 2);
      expect(adapted.momentum).toBeCloseTo(momentum, 12);
      // eta' = eta (1 - mu') / ((1 - mu) M) = eta * 0.1 M / (0.1 M).
      expect(adapted.rateFactor).toBeCloseTo(1, 12);
    }
  });

  it("takes from the rate what the momentum can't give any more", () => {
    // mu' reaches 0 with M = 10; from there on eta' = eta / (0.1 M).
    const job = jobWith({});
    expect(adaptToWorkers(job, 10).momentum).toBeCloseTo(0, 12);
    expect(adaptToWorkers(job, 10).rateFactor).toBeCloseTo(1, 12);
    expect(adaptToWorkers(job, 16)).toMatchObject({ momentum: 0 });
    expect(adaptToWorkers(job, 16).rateFactor).toBeCloseTo(1 / 1.6, 12);
    // mu = 0.5: mu' = 0 with M = 2 already; eta' = eta / (0.5 * 8) with 8.
    const half = jobWith({ optimizer: { name: "nesterov", momentum: 0.5 } });
    expect(adaptToWorkers(half, 8)).toEqual({ momentum: 0, rateFactor: 0.25 });
  });

  it("divides the rate of plain SGD by the number of workers", () => {
    const job = jobWith({ optimizer: { name: "sgd" } });
    expect(adaptToWorkers(job, 4)).toEqual({ momentum: 0, rateFactor: 0.25 });
  });

  it.each(["adam", "adamw", "adagrad", "rmsprop"])(
    "divides the rate of %s by the root of the workers",
    (name) => {
      const adapted = adaptToWorkers(jobWith({ optimizer: { name } }), 4);
      expect(adapted.rateFactor).toBe(0.5);
      expect(adapted.momentum).toBeCloseTo(name.startsWith("adam") ? 0.6 : 0, 12);
    },
  );

  it("leaves DANA-Slim its momentum, and divides its rate by the workers", () => {
    const job = jobWith({ staleness: { policy: "dana" } });
    expect(adaptToWorkers(job, 8)).toEqual({ momentum: 0.9, rateFactor: 0.125 });
  });

  it.each(optimizers)("changes nothing of %s for one worker", (name) => {
    const job = jobWith({ optimizer: { name } });
    expect(adaptToWorkers(job, 1)).toEqual({ momentum: momentumOf(job.optimizer), rateFactor: 1 });
  });

  it.each(optimizers)("changes nothing of %s in rounds, and nothing when switched off", (name) => {
    for (const change of [{ consistency: { kind: "sync" } }, { protection: { adaptToWorkers: false } }]) {
      const job = jobWith({ optimizer: { name }, ...change });
      expect(adaptToWorkers(job, 16)).toEqual({ momentum: momentumOf(job.optimizer), rateFactor: 1 });
    }
  });

  it("counts c pushes of n-softsync as one worker's", () => {
    const softsync = jobWith({ consistency: { kind: "softsync", pushes: 4 } });
    expect(adaptToWorkers(softsync, 8)).toEqual(adaptToWorkers(jobWith({}), 2));
    expect(adaptToWorkers(softsync, 3)).toEqual({ momentum: 0.9, rateFactor: 1 });
  });

  it("never raises momentum or rate, whatever the workers", () => {
    for (const name of optimizers) {
      const job = jobWith({ optimizer: { name } });
      let before = adaptToWorkers(job, 1);
      for (let workers = 2; workers <= 64; workers++) {
        const now = adaptToWorkers(job, workers);
        expect(now.momentum).toBeLessThanOrEqual(before.momentum);
        expect(now.rateFactor).toBeLessThanOrEqual(before.rateFactor + 1e-12);
        expect(now.rateFactor).toBeGreaterThan(0);
        before = now;
      }
    }
  });
});

describe("the staleness policy that is chosen", () => {
  const workers = (count: number) => ({ cluster: { workers: count } });
  const momentum = { optimizer: { name: "momentum", momentum: 0.9 } };

  it.each<[string, string, object]>([
    ["keeps momentum apart for more than two workers", "dana", { ...momentum, ...workers(3) }],
    ["does so with Nesterov's", "dana", { optimizer: { name: "nesterov" }, ...workers(8) }],
    ["does so with a bound", "dana", { ...workers(8), ...momentum, consistency: { kind: "ssp", bound: 3 } }],
    ["is none for two workers", "none", { ...momentum, ...workers(2) }],
    ["is none without momentum", "none", { optimizer: { name: "momentum", momentum: 0 }, ...workers(8) }],
    ["is none for plain SGD", "none", { optimizer: { name: "sgd" }, ...workers(8) }],
    ["is none for Adam", "none", { optimizer: { name: "adam" }, ...workers(8) }],
    ["is none in rounds", "none", { ...momentum, ...workers(8), consistency: { kind: "sync" } }],
    ["is none in step", "none", { ...momentum, ...workers(8), consistency: { kind: "ssp", bound: 0 } }],
    [
      "is none for n-softsync",
      "none",
      { ...momentum, ...workers(8), consistency: { kind: "softsync", pushes: 4 } },
    ],
    [
      "is none for top-k gradients",
      "none",
      { ...momentum, ...workers(8), wire: { push: { codec: "topK" } } },
    ],
    [
      "is none where nothing adapts",
      "none",
      { ...momentum, ...workers(8), protection: { adaptToWorkers: false } },
    ],
    ["is what the job says", "none", { ...momentum, ...workers(8), staleness: { policy: "none" } }],
  ])("%s: %s", (_, policy, change) => {
    const job = jobWith(change);
    expect(job.staleness).toEqual({ policy });
    // A resolved job is read again by others.
    expect(checkJob(JSON.parse(JSON.stringify(job)), "resolved")).toEqual(job);
  });
});

describe("momentum at the workers", () => {
  it("leaves the servers plain SGD without decay, with DANA-Slim and with top-k gradients", () => {
    const optimizer = { name: "momentum", momentum: 0.9, weightDecay: 0.01 };
    for (const change of [{ staleness: { policy: "dana" } }, { wire: { push: { codec: "topK" } } }]) {
      const job = jobWith({ optimizer, ...change });
      expect(momentumAtWorkers(job)).toBe(true);
      expect(serverOptimizer(job)).toEqual({ name: "sgd", weightDecay: 0, weightDecayL1: 0 });
    }
    const plain = jobWith({ optimizer });
    expect(momentumAtWorkers(plain)).toBe(false);
    expect(serverOptimizer(plain)).toBe(plain.optimizer);
  });
});

describe("overlaps", () => {
  it.each([
    [{}, false],
    [{ worker: { overlap: true } }, true],
    [{ worker: { overlap: true }, consistency: { kind: "sync" } }, false],
    [{ worker: { overlap: true }, consistency: { kind: "ssp", bound: 0 } }, false],
    [{ worker: { overlap: true }, consistency: { kind: "ssp", bound: 1 } }, true],
    [{ worker: { overlap: true }, consistency: { kind: "softsync", pushes: 2 } }, true],
  ])("of %j is %s", (change, expected) => {
    expect(overlaps(jobWith(change))).toBe(expected);
  });
});
