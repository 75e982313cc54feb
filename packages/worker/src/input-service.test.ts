import type { BatchBuffers, BatchRead, Dataset } from "@downpour/datasets";
import { checkJob } from "@downpour/job";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { type InputRequest, InputService } from "./input-service.ts";

/** Reads that have begun, and what lets each of them end. */
const begun: number[] = [];
const endings = new Map<number, (outcome: "read" | "failed") => void>();

// A reader that takes as long as the test wants: it writes the number of the batch when it is let.
vi.mock("@downpour/datasets", async (original) => ({
  ...(await original<object>()),
  loadDataset: async (): Promise<Partial<Dataset>> => {
    const split = {
      exampleCount: 8,
      labels: new Uint8Array(8),
      pixels: { kind: "memory", bytes: new Uint8Array(8) },
    };
    return { train: split, validation: split, test: split, classNames: ["a"] } as Partial<Dataset>;
  },
  BatchReader: class {
    async readTraining({ batch }: { batch: number }, { images }: BatchBuffers): Promise<BatchRead> {
      begun.push(batch);
      const outcome = await new Promise<string>((resolve) => {
        endings.set(batch, resolve);
      });
      if (outcome === "failed") throw new RangeError(`no batch ${batch}`);
      images[0] = batch;
      return { count: 1, unreadable: [] };
    }
  },
}));

const job = checkJob(
  {
    name: "test",
    data: { set: { name: "digits" } },
    model: { name: "lenet5" },
    optimizer: { name: "sgd" },
    learningRate: { initial: 0.1 },
  },
  "the test",
);

/** Lets all that has begun come as far as it can. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("InputService", () => {
  const slots = [0, 1].map(() => ({ images: new Float32Array(1), targets: new Float32Array(1) }));
  const request = (batch: number): InputRequest => ({ kind: "training", epoch: 0, batch });
  let service: InputService;
  beforeEach(async () => {
    begun.length = 0;
    endings.clear();
    service = new InputService();
    await service.open({ job, places: { cacheDirectory: "unused", dataDirectory: undefined } });
    await service.share(slots);
  });

  it("begins a read when the one before it has ended: none writes into a buffer after the next one for it", async () => {
    const reads = [1, 2, 3].map((batch) => service.read({ request: request(batch), slot: 0 }));
    await settle();
    expect(begun).toEqual([1]);
    endings.get(1)?.("read");
    await settle();
    expect(slots[0]?.images[0]).toBe(1);
    expect(begun).toEqual([1, 2]);
    endings.get(2)?.("read");
    await settle();
    endings.get(3)?.("read");
    await Promise.all(reads);
    expect(slots[0]?.images[0]).toBe(3);
    expect(slots[1]?.images[0]).toBe(0);
  });

  it("tells only the one who asked of a read that failed, and goes on", async () => {
    const first = service.read({ request: request(4), slot: 0 });
    const second = service.read({ request: request(5), slot: 1 });
    await settle();
    endings.get(4)?.("failed");
    await expect(first).rejects.toThrow("no batch 4");
    await settle();
    endings.get(5)?.("read");
    await expect(second).resolves.toMatchObject({ count: 1 });
    expect(slots[1]?.images[0]).toBe(5);
  });

  it("says so when it is asked for a batch before it was opened", async () => {
    await expect(new InputService().read({ request: request(0), slot: 0 })).rejects.toThrow(/was not opened/);
  });
});
