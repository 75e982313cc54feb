import { DownpourError } from "@downpour/errors";
import { type ComputeSpec, checkJob, type Job } from "@downpour/job";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, it, vi } from "vitest";
import { attainableCompute, checkMemory } from "./compute-spec.ts";
import { hasBfloat16 } from "./processor.ts";

vi.mock("./processor.ts", () => ({ hasBfloat16: vi.fn() }));
vi.mock("node:os", async (original) => ({ ...(await original<object>()), totalmem: () => 16 * 2 ** 30 }));

const wanted: ComputeSpec = { mode: "graph", precision: "bf16" };

describe("attainableCompute", () => {
  it("leaves float32 as it is, on every device and processor", () => {
    vi.mocked(hasBfloat16).mockReturnValue(false);
    for (const mode of ["graph", "eager"] as const) {
      for (const device of ["cpu", "cuda", "webgpu", "portable"] as const) {
        const spec: ComputeSpec = { mode, precision: "float32" };
        expect(attainableCompute(spec, device)).toEqual({ compute: spec, notices: [] });
      }
    }
  });

  it.each([
    ["cpu", true],
    ["cpu", undefined], // not known: TensorFlow will tell
    ["cuda", false], // the processor does not count
  ] as const)("leaves bf16 on %s where the processor's arithmetic is %s", (device, has) => {
    vi.mocked(hasBfloat16).mockReturnValue(has);
    expect(attainableCompute(wanted, device)).toEqual({ compute: wanted, notices: [] });
  });

  it.each([
    ["graph", "cpu", /processor has no bfloat16/],
    ["graph", "webgpu", /device webgpu does not have it/],
    ["graph", "portable", /device portable does not have it/],
    ["eager", "cuda", /needs compute\.mode graph/],
  ] as const)("computes in float32 in %s mode on %s, and says why", (mode, device, reason) => {
    vi.mocked(hasBfloat16).mockReturnValue(false);
    const { compute, notices } = attainableCompute({ ...wanted, mode }, device);
    expect(compute).toEqual({ mode, precision: "float32" });
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(reason);
    expect(notices[0]).toMatch(/^compute\.precision bf16: .*; this member computes in float32$/);
  });
});

describe("checkMemory", () => {
  const jobWith = (batchSize: number): Job =>
    checkJob(
      {
        name: "test",
        data: { set: { name: "digits" }, batchSize },
        model: { name: "lenet5" },
        optimizer: { name: "sgd" },
        learningRate: { initial: 0.1 },
      },
      "the test",
    );
  const model = tf.sequential({
    name: "large",
    layers: [
      tf.layers.conv2d({ filters: 512, kernelSize: 1, inputShape: [512, 512, 3] }),
      tf.layers.globalAveragePooling2d({}),
      tf.layers.dense({ units: 10 }),
    ],
  });

  it("lets a batch pass that memory holds", () => {
    expect(() => checkMemory(model, jobWith(1), { device: "cpu" })).not.toThrow();
  });

  it("refuses a batch that memory can't hold, naming the model, the batch, the need, the memory and what to change", () => {
    let thrown: unknown;
    try {
      checkMemory(model, jobWith(65_536), { device: "cpu" });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(DownpourError);
    const { code, message, facts } = thrown as DownpourError & { facts: Record<string, number> };
    expect(code).toBe("usage");
    // 512 * 512 * (3 + 512) values and some, 8 bytes each, 65,536 times.
    expect(facts.neededBytes).toBeCloseTo(8 * 65_536 * 512 * 512 * 515, -13);
    expect(facts.batchSize).toBe(65_536);
    expect(facts.memoryBytes).toBeGreaterThan(2 ** 28);
    const needed = ((facts.neededBytes ?? 0) / 2 ** 30).toFixed(1);
    const memory = ((facts.memoryBytes ?? 0) / 2 ** 30).toFixed(1);
    expect(message).toContain("large");
    expect(message).toContain("data.batchSize 65536");
    expect(message).toContain(`${needed} GiB`);
    expect(message).toContain(`${memory} GiB`);
    expect(message).toContain("choose a smaller data.batchSize");
  });

  it("counts what WebAssembly can address, on the portable device", () => {
    // 1,030 MiB for each image, and a little.
    expect(() => checkMemory(model, jobWith(3), { device: "portable" })).not.toThrow();
    expect(() => checkMemory(model, jobWith(4), { device: "portable" })).toThrow(
      /batchSize 4 needs about 4\.0 GiB, but the device portable has 4\.0 GiB; choose a smaller/,
    );
    expect(() => checkMemory(model, jobWith(4), { device: "cpu" })).not.toThrow();
  });

  it("counts a container's limit, where that is less than the machine has", () => {
    const limit = vi.spyOn(process, "constrainedMemory").mockReturnValue(2 ** 20);
    try {
      expect(() => checkMemory(model, jobWith(1), { device: "cpu" })).toThrow(/this machine has 0\.0 GiB/);
      limit.mockReturnValue(0); // Node's way to say: none
      expect(() => checkMemory(model, jobWith(1), { device: "cpu" })).not.toThrow();
    } finally {
      limit.mockRestore();
    }
  });
});
