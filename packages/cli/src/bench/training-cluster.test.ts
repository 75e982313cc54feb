import { DownpourError } from "@downpour/errors";
import { checkJob, type Job } from "@downpour/job";
import type { JobEvent, Progress } from "@downpour/protocol";
import { expect, test, vi } from "vitest";
import { Training } from "./training-cluster.ts";

const never = new Promise<never>(() => undefined);
const noCoordinator = { call: () => never };

function jobOf(cluster: { workers: number; replicas?: number }): Job {
  const job = {
    ...{ name: "t", data: { set: { name: "digits" }, batchSize: 10 }, model: { name: "lenet5" } },
    ...{ optimizer: { name: "sgd" }, learningRate: { initial: 0.1 }, training: { epochs: 1 } },
    cluster: { servers: 2, ...cluster },
  };
  return checkJob(job, "t");
}

function feed(training: Training, timeMs: number, event: Partial<JobEvent>): void {
  training.observe({ sequence: 0, timeMs, event: event as JobEvent });
}

const joined = (role: string): Partial<JobEvent> => ({ type: "memberJoined", role });
const progress = (examplesCounted: number, more: Partial<Progress> = {}): Partial<JobEvent> => ({
  ...{ type: "progress", examplesCounted, stalenessMean: 1, workers: 2 },
  ...more,
});

/** Whether a promise has resolved by now. */
async function isOver(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  await new Promise((resolve) => setImmediate(resolve));
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

test("a cluster is under way when all members are there, the first checkpoint is, and all are warm", async () => {
  const training = new Training(noCoordinator, jobOf({ workers: 2, replicas: 1 }), never);
  const underWay = training.underWay(2);
  feed(training, 0, joined("worker"));
  feed(training, 0, joined("evaluator"));
  feed(training, 0, joined("server"));
  feed(training, 0, { type: "checkpointed" });
  feed(training, 0, { type: "replicasInStep" });
  feed(training, 1_000, progress(5_000));
  feed(training, 1_000, joined("worker"));
  // Ten batches of ten of each worker.
  feed(training, 2_000, progress(199));
  feed(training, 3_000, progress(5_000, { workers: 1 }));
  feed(training, 10_000, progress(5_000));
  await isOver(underWay);
  feed(training, 11_999, progress(6_000));
  expect(await isOver(underWay)).toBe(false);
  feed(training, 12_000, progress(7_000));
  expect(await isOver(underWay)).toBe(true);
});

test.each([
  ["checkpointed", "replicasInStep"],
  ["replicasInStep", "checkpointed"],
] as const)("with replicas, %s alone is not enough", async (first, second) => {
  const training = new Training(noCoordinator, jobOf({ workers: 1, replicas: 1 }), never);
  const underWay = training.underWay();
  for (const role of ["worker", "evaluator"]) feed(training, 0, joined(role));
  feed(training, 0, { type: first });
  feed(training, 1_000, progress(1_000, { workers: 1 }));
  expect(await isOver(underWay)).toBe(false);
  feed(training, 1_000, { type: second });
  feed(training, 2_000, progress(1_000, { workers: 1 }));
  expect(await isOver(underWay)).toBe(true);
});

test("speed is what was counted between two progress events that are far enough apart", async () => {
  const training = new Training(noCoordinator, jobOf({ workers: 2 }), never);
  let now = 0;
  const speed = training.speed(2, () => now++);
  feed(training, 12_000, progress(7_000));
  await isOver(speed);
  feed(training, 13_000, progress(7_500));
  // Nothing new was counted by then.
  feed(training, 14_100, progress(7_000));
  feed(training, 14_400, progress(8_200, { stalenessMean: 1.5 }));
  // 1,200 examples in 2.4 s.
  expect(await speed).toEqual({
    ...{ examples: 1200, examplesPerSecond: 500, stalenessMean: 1.5, samples: [0, 1] },
  });
});

test("a cluster that can't go on ends what waits for it", async () => {
  const lost = Promise.reject(new DownpourError("jobFailed", "lost"));
  const training = new Training(noCoordinator, jobOf({ workers: 2 }), lost);
  await expect(training.speed(1)).rejects.toThrow("lost");
  await expect(training.underWay()).rejects.toThrow("lost");
});

test("a first checkpoint that can't be written ends the wait, with the reason", async () => {
  const training = new Training(noCoordinator, jobOf({ workers: 1 }), never);
  const underWay = training.underWay();
  underWay.catch(() => undefined);
  feed(training, 0, { type: "checkpointFailed", message: "no space left" });
  await expect(underWay).rejects.toThrow("the first checkpoint could not be written: no space left");
});

test("a cluster that counts nothing is not waited for without end", async () => {
  vi.useFakeTimers();
  try {
    const training = new Training(noCoordinator, jobOf({ workers: 1 }), never);
    const [underWay, speed] = [training.underWay(5), training.speed(30)];
    const ends = Promise.allSettled([underWay, speed]);
    feed(training, 0, progress(100));
    await vi.advanceTimersByTimeAsync(11 * 60_000);
    feed(training, 11 * 60_000, progress(100));
    for (const end of await ends) {
      expect(end).toMatchObject({ status: "rejected", reason: { code: "deadlineExceeded" } });
    }
  } finally {
    vi.useRealTimers();
  }
});

test("checkpoints are written one after the other as long as speed is measured", async () => {
  const asked: string[] = [];
  const call = async (method: string) => {
    asked.push(method);
    setImmediate(() => feed(training, 0, { type: "checkpointed", seconds: asked.length }));
  };
  const training = new Training({ call } as never, jobOf({ workers: 2 }), never);
  const writing = training.speedWriting(1);
  feed(training, 0, progress(0));
  while (asked.length < 3) await isOver(never);
  feed(training, 1_000, progress(100));
  const { speed, checkpoints } = await writing;
  expect(speed.examplesPerSecond).toBe(100);
  expect(checkpoints.length).toBe(asked.length);
  expect(checkpoints.map(({ seconds }) => seconds)).toEqual(asked.map((_, i) => i + 1));
  expect(new Set(asked)).toEqual(new Set(["Checkpoint"]));
});
