import { expect, test } from "vitest";
import { WorkQueue } from "./work-queue.ts";

function queueOf(...leases: [number, number, number[]][]): WorkQueue {
  const queue = new WorkQueue();
  for (const [leaseId, epoch, batches] of leases) queue.add({ leaseId, epoch, batches }, 0);
  return queue;
}

test("batches come in the order of their leases, and can be seen ahead", () => {
  const queue = queueOf([1, 0, [4, 5]], [2, 1, [0]]);
  expect(queue.ahead(5)).toEqual([
    { epoch: 0, batch: 4 },
    { epoch: 0, batch: 5 },
    { epoch: 1, batch: 0 },
  ]);
  expect(queue.ahead(1)).toEqual([{ epoch: 0, batch: 4 }]);
  expect(queue.peek()).toEqual({ leaseId: 1, pushId: { epoch: 0, batch: 4 }, rollback: 0 });
  const taken = [queue.take(), queue.take(), queue.take(), queue.take()];
  expect(taken.map((work) => work?.leaseId)).toEqual([1, 1, 2, undefined]);
  expect(queue.length).toBe(0);
});

test("a lease is held until every batch of it is reported, taken or not", () => {
  const queue = queueOf([1, 0, [4, 5]], [2, 0, [6]]);
  queue.take();
  queue.take();
  expect(queue.heldLeases()).toEqual([1, 2]);
  queue.reported(1, 1);
  expect(queue.heldLeases()).toEqual([1, 2]);
  queue.reported(1, 1);
  expect(queue.heldLeases()).toEqual([2]);
  queue.reported(9, 1);
  expect(queue.heldLeases()).toEqual([2]);
});

test("the batches of a lease that is gone are left alone", () => {
  const queue = queueOf([1, 0, [4, 5]], [2, 0, [6]]);
  queue.take();
  queue.drop(1);
  expect(queue.heldLeases()).toEqual([2]);
  expect(queue.take()?.leaseId).toBe(2);
});

test("a lease without batches is none", () => {
  expect(queueOf([1, 0, []]).heldLeases()).toEqual([]);
});
