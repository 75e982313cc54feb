import { DownpourError } from "@downpour/errors";
import type { EpochBook } from "./epoch-book.ts";
import type { Lease } from "./ledger-types.ts";

/**
 * Proves one epoch's account: the bitmaps do not overlap, applied + refused + skipped + pending is every batch,
 * and each pending batch is queued or in a lease, once, while no settled batch is either; a backup holds nothing but what
 * its lease holds. Examples are missing only from batches that were applied or refused.
 *
 * @throws DownpourError internal naming the epoch and the numbers
 */
export function proveEpoch(book: EpochBook, leases: readonly Lease[]): void {
  const { epoch, batchCount } = book;
  const settled = new Uint8Array(batchCount);
  for (const bitmap of [book.applied, book.refused, book.skipped]) {
    const members = bitmap.toArray();
    if (members.length !== bitmap.count) {
      fail(epoch, `a bitmap holds ${members.length} batches and counts ${bitmap.count}`);
    }
    for (const batch of members) {
      if (settled[batch] === 1) fail(epoch, `batch ${batch} has two outcomes`);
      settled[batch] = 1;
    }
  }
  for (const [batch, examples] of book.unreadable) {
    if (examples < 1) fail(epoch, `batch ${batch} is said to lack ${examples} examples`);
    const outcome = book.outcomeOf(batch) ?? "pending";
    if (outcome !== "applied" && outcome !== "refused")
      fail(epoch, `batch ${batch} lacks examples and is ${outcome}`);
  }
  const held = book.queuedTimes();
  for (const lease of leases) {
    if (lease.epoch !== epoch) continue;
    if (lease.batches.length === 0) fail(epoch, `lease ${lease.leaseId} is empty`);
    if (lease.backupOf !== undefined) {
      proveBackup(lease, leases);
      continue;
    }
    for (const batch of lease.batches) held[batch] = (held[batch] ?? 0) + 1;
  }
  let pending = 0;
  for (let batch = 0; batch < batchCount; batch += 1) {
    const times = held[batch] ?? 0;
    if (settled[batch] === 1 && times > 0) fail(epoch, `settled batch ${batch} is queued or leased`);
    if (settled[batch] === 0 && times !== 1) {
      fail(epoch, `pending batch ${batch} is queued or leased ${times} times instead of once`);
    }
    if (settled[batch] === 0) pending += 1;
  }
  const sum = book.applied.count + book.refused.count + book.skipped.count + pending;
  if (sum !== batchCount || pending !== book.pendingCount) {
    fail(
      epoch,
      `${book.applied.count} applied + ${book.refused.count} refused + ${book.skipped.count} skipped + ` +
        `${pending} pending is ${sum}, not ${batchCount}`,
    );
  }
}

function proveBackup({ leaseId, epoch, batches, backupOf }: Lease, leases: readonly Lease[]): void {
  const of = leases.find((other) => other.leaseId === backupOf);
  const holds = of?.epoch === epoch && of.backupOf === undefined ? of.batches : [];
  const odd = batches.find((batch) => !holds.includes(batch));
  if (odd !== undefined) fail(epoch, `lease ${leaseId} holds batch ${odd}, which lease ${backupOf} does not`);
}

function fail(epoch: number, what: string): never {
  throw new DownpourError("internal", `the ledger of epoch ${epoch} does not add up: ${what}`, {
    facts: { epoch },
  });
}
