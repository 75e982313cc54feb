import { fileURLToPath } from "node:url";
import { checkJob } from "@downpour/job";
import { serverMemoryEstimate } from "@downpour/parameter-server";
import { describe, expect, it } from "vitest";
import type { JobMemory } from "../memory/job-memory.ts";
import type { Reporter } from "../reporter.ts";
import { describeMemory, doctorJob, sizeText } from "./doctor-job.ts";

const mebibyte = 2 ** 20;
const job = checkJob(
  {
    name: "digits",
    data: { set: { name: "digits" } },
    model: { name: "lenet5" },
    optimizer: { name: "momentum" },
    learningRate: { initial: 0.1 },
  },
  "job.yaml",
);
const part = (bytes: number) => ({ parts: [{ name: "weights", bytes }], totalBytes: bytes });
const memory: JobMemory = {
  slices: 8,
  server: { ...part(2 * mebibyte), applyThreads: 1 },
  servers: 2,
  serversNeeded: 2,
  worker: part(3 * mebibyte),
  evaluator: part(mebibyte),
  totalBytes: 11 * mebibyte,
};

const say = (change: Partial<JobMemory>, machineBytes = 64 * mebibyte) => {
  const { summary, lines } = describeMemory(job, 61_706, { ...memory, ...change }, machineBytes);
  return { summary, text: lines.join("\n") };
};

describe("describeMemory", () => {
  it("says what each process takes, and what all take beside the machine's memory", () => {
    const { summary, text } = say({});
    expect(summary).toMatchObject({ ok: true, fits: true, parameters: 61_706, totalBytes: 11 * mebibyte });
    expect(text).toContain("61,706 parameters in 8 slices; momentum, async, staleness policy none");
    expect(text).toMatch(
      /Each of 2 servers, with 1 apply thread *\n {2}weights +2\.0 MiB\n {2}together +2\.0 MiB/,
    );
    expect(text).toMatch(/Each of 2 workers, with batches of 64 *\n {2}weights +3\.0 MiB/);
    expect(text).toMatch(/together: about 11\.0 MiB, .* this machine has 64\.0 MiB$/);
  });

  it("says when it does not fit this machine, and what to do", () => {
    const { summary, text } = say({}, 10 * mebibyte);
    expect(summary).toMatchObject({ ok: false, fits: false });
    expect(text).toMatch(/does not fit this machine: take fewer workers/);
  });

  it("says how many servers and apply threads it takes", () => {
    const more = say({ serversNeeded: 5 });
    expect(more.summary.ok).toBe(false);
    expect(more.text).toContain("2 servers do not hold the slices: set cluster.servers to 5 or more");
    const threads = say({ server: { ...part(1), applyThreads: 3 } });
    expect(threads.summary.ok).toBe(true);
    expect(threads.text).toContain("A server starts 3 apply threads instead of cluster.applyThreads 1");
  });

  it("says when no number of servers is enough", () => {
    const { summary, text } = say({ server: null, serversNeeded: null });
    expect(summary.ok).toBe(false);
    expect(text).toContain("No number of servers holds the slices");
  });
});

describe("sizeText", () => {
  it.each([
    [0, "0 bytes"],
    [1000, "1000 bytes"],
    [1536, "1.5 KiB"],
    [250 * mebibyte, "250 MiB"],
    [3 * 2 ** 31, "6.0 GiB"],
  ])("%i bytes are %s", (bytes, text) => expect(sizeText(bytes)).toBe(text));
});

describe("doctorJob", () => {
  const example = fileURLToPath(new URL("../../../../examples/digits-lenet5.yaml", import.meta.url));

  it("estimates a job file's memory, with the options put in its place", async () => {
    const results: Readonly<Record<string, unknown>>[] = [];
    const reporter = { result: (summary: Readonly<Record<string, unknown>>) => results.push(summary) };
    const tools = {
      estimate: serverMemoryEstimate,
      config: { cacheDirectory: "none", dataDirectory: undefined, device: undefined, python: undefined },
      reporter: reporter as unknown as Reporter,
    };
    expect(await doctorJob(example, {}, tools)).toBe(0);
    const set = ["staleness.policy=gapAware"];
    expect(await doctorJob(example, { workers: "16", set }, tools)).toBe(0);
    // LeNet-5: 6 x 5 x 5 + 6, 16 x 6 x 5 x 5 + 16, 400 x 120 + 120, 120 x 84 + 84, 84 x 10 + 10.
    expect(results[0]).toMatchObject({ ok: true, parameters: 61_706, workers: 2, servers: 2 });
    expect(results[1]).toMatchObject({ ok: true, parameters: 61_706, workers: 16 });
    expect(results[1]?.totalBytes).toBeGreaterThan(Number(results[0]?.totalBytes) * 2);
  });
});
