import { DownpourError } from "@downpour/errors";
import { checkJob } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import { describe, expect, it } from "vitest";
import { knownShape } from "./data-shape.ts";
import { jobMemory, type ServerEstimator } from "./job-memory.ts";
import { modelMemory } from "./manifest-of-job.ts";

/** 4 MiB of weights. */
const manifest = makeManifest([
  { name: "a/kernel", shape: [1024, 1024], role: "weight", trainable: true, decayed: true },
]);
const vector = 4 * 1024 * 1024;

function jobWith(change: object) {
  return checkJob(
    {
      name: "job",
      data: { set: { name: "digits" } },
      model: { name: "mlp" },
      optimizer: { name: "momentum" },
      learningRate: { initial: 0.1 },
      cluster: { workers: 2, servers: 2 },
      ...change,
    },
    "job.yaml",
  );
}

/** A server that keeps weights and one slot, and holds at most so many bytes of weights. */
function estimator(weightsMax = Number.POSITIVE_INFINITY): ServerEstimator {
  return ({ slices, replicas, members }) => {
    const weights = slices.reduce((sum, { length }) => sum + 4 * length, 0);
    if (weights > weightsMax) throw new DownpourError("resourceExhausted", "too large");
    const bytes = {
      weights,
      optimizerState: weights,
      accumulators: 0,
      policyState: 0,
      encodings: weights,
      replicas: replicas.reduce((sum, { length }) => sum + 2 * 4 * length, 0),
      pulledVersions: 0,
      mirrors: members * weights,
    };
    const totalBytes = (3 + members) * weights + bytes.replicas;
    return { bytes, totalBytes, transientBytesMax: 1e9, applyThreads: 1 };
  };
}

const activations = { training: 1000, evaluation: 500 };

describe("jobMemory", () => {
  it("adds up the parts of each process, and all processes", () => {
    const memory = jobMemory(jobWith({}), manifest, activations, estimator());
    const half = vector / 2;
    expect(memory.server).toEqual({
      parts: [
        { name: "weights", bytes: half },
        { name: "optimizer state", bytes: half },
        { name: "copies for pulls", bytes: half },
        { name: "mirrors of what 2 workers have", bytes: 2 * half },
        // A push and a pull of each worker, and the transport's copy of each.
        { name: "payloads on their way, at most", bytes: 8 * half },
      ],
      totalBytes: 13 * half,
      applyThreads: 1,
    });
    expect(memory.worker.totalBytes).toBe(6 * vector + 1000);
    expect(memory.evaluator.totalBytes).toBe(3 * vector + 500);
    expect(memory.totalBytes).toBe(2 * 13 * half + 2 * (6 * vector + 1000) + 3 * vector + 500);
    expect(memory).toMatchObject({ slices: 8, servers: 2, serversNeeded: 2 });
  });

  it("counts the replicas that each server keeps of another's slices", () => {
    const plain = jobMemory(jobWith({}), manifest, activations, estimator());
    const replicated = jobMemory(
      jobWith({ cluster: { servers: 2, replicas: 1 } }),
      manifest,
      activations,
      estimator(),
    );
    // Weights and one slot of the other half.
    const parts = replicated.server?.parts ?? [];
    expect(parts).toContainEqual({ name: "replicas of other servers' slices", bytes: vector });
    expect(replicated.totalBytes).toBe(plain.totalBytes + 2 * vector);
  });

  it.each<[string, object, number]>([
    ["the residual of a codec with error feedback", { wire: { push: { codec: "int8" } } }, 1],
    ["momentum and residual of top-k gradients", { wire: { push: { codec: "topK" } } }, 2],
    ["the momentum of DANA-Slim", { staleness: { policy: "dana" } }, 1],
    ["the sum of several gradients", { worker: { pushEvery: 2 } }, 1],
    ["nothing for half precision", { wire: { push: { codec: "float16" } } }, 0],
  ])("counts at the worker %s", (_, change, vectors) => {
    const plain = jobMemory(jobWith({}), manifest, activations, estimator());
    const memory = jobMemory(jobWith(change), manifest, activations, estimator());
    expect(memory.worker.totalBytes - plain.worker.totalBytes).toBe(vectors * vector);
  });

  it("finds the fewest servers that hold the slices", () => {
    const memory = jobMemory(jobWith({}), manifest, activations, estimator(vector / 4));
    // 3 servers hold 4 of 12 slices each, a third; 4 hold 4 of 16, a quarter.
    expect(memory).toMatchObject({ servers: 2, serversNeeded: 4, slices: 16 });
  });

  it("says when no number of servers holds them, and passes on any other failure", () => {
    const memory = jobMemory(jobWith({}), manifest, activations, estimator(0));
    expect(memory).toMatchObject({ server: null, serversNeeded: null });
    const broken: ServerEstimator = () => {
      throw new Error("broken");
    };
    expect(() => jobMemory(jobWith({}), manifest, activations, broken)).toThrow("broken");
  });
});

describe("the shape of a job's data", () => {
  it.each([
    [{ name: "digits" }, { height: 28, width: 28, channels: 1, classCount: 10 }],
    [{ name: "cifar10" }, { height: 32, width: 32, channels: 3, classCount: 10 }],
    [{ name: "cifar100" }, { height: 32, width: 32, channels: 3, classCount: 100 }],
    [
      { name: "cifar100", labels: "coarse" },
      { height: 32, width: 32, channels: 3, classCount: 20 },
    ],
    [
      { name: "csv", train: "a.csv", test: "b.csv", height: 5, width: 6, classNames: ["x", "y"] },
      { height: 5, width: 6, channels: 1, classCount: 2 },
    ],
  ])("is known of %j", (set, expected) => {
    expect(knownShape(jobWith({ data: { set } }).data.set)).toEqual(expected);
  });

  it.each([{ name: "images" }, { name: "csv", train: "a.csv", test: "b.csv", height: 5, width: 6 }])(
    "is not known of %j without its files",
    (set) => {
      expect(knownShape(jobWith({ data: { set } }).data.set)).toBeUndefined();
    },
  );
});

describe("modelMemory", () => {
  it("knows the tensors of a job's model, and counts twice the activations for twice the batch", async () => {
    const input = { height: 28, width: 28, channels: 1, classCount: 10 };
    const small = await modelMemory(jobWith({ data: { set: { name: "digits" }, batchSize: 10 } }), input);
    const large = await modelMemory(jobWith({ data: { set: { name: "digits" }, batchSize: 20 } }), input);
    // 784 x 256 + 256, 256 x 128 + 128, 128 x 10 + 10 (padded to 16).
    expect(small.manifest.length).toBe(784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 16);
    expect(small.manifest.fingerprint).toBe(large.manifest.fingerprint);
    expect(large.activations.training).toBe(2 * small.activations.training);
  });
});
