import { expect, test } from "vitest";
import { ReportQueue } from "./report-queue.ts";

test("what ended under one lease goes in one report, the oldest lease first", () => {
  const queue = new ReportQueue();
  expect(queue.take()).toBeUndefined();
  queue.add({ leaseId: 3, epoch: 1, report: { batch: 8 } });
  queue.add({ leaseId: 3, epoch: 1, report: { batch: 9 } });
  queue.add({ leaseId: 4, epoch: 2, report: { batch: 0 } });
  queue.add({ leaseId: 3, epoch: 1, report: { batch: 10 } });
  expect(queue.length).toBe(4);
  expect(queue.take()).toEqual({
    leaseId: 3,
    epoch: 1,
    batches: [{ batch: 8 }, { batch: 9 }, { batch: 10 }],
  });
  expect(queue.length).toBe(1);
  expect(queue.take()).toEqual({ leaseId: 4, epoch: 2, batches: [{ batch: 0 }] });
  expect(queue.take()).toBeUndefined();
});
