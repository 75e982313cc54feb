import { Bitmap } from "@downpour/checkpoint";
import { describe, expect, it } from "vitest";
import { accountOfPushes } from "./push-account.ts";

const batchesPerEpoch = 10;

function bits(...batches: number[]): Bitmap {
  const bitmap = new Bitmap(batchesPerEpoch);
  for (const batch of batches) bitmap.add(batch);
  return bitmap;
}

const full = bits(...Array.from({ length: batchesPerEpoch }, (_, i) => i));

/** A slice that has complete epochs up to 3, and these batches of epoch 4. */
const slice = (count: number, ...batches: number[]) => ({
  count,
  pushIds: {
    newestEpoch: 4,
    epochs: new Map([
      [3, full],
      [4, bits(...batches)],
    ]),
  },
});

const ledger = (...applied: number[]) => ({
  completedEpochs: 4,
  open: [{ epoch: 4, applied: bits(...applied) }],
});

describe("the account of pushes", () => {
  it("is even where slices have what the ledger counts, or more that was not reported", () => {
    const slices = [slice(42, 0, 1), slice(43, 0, 1, 2)];
    const even = { pushesLost: 0, pushesDoubled: 0 };
    expect(accountOfPushes(slices, ledger(0, 1), batchesPerEpoch, 0)).toEqual(even);
    expect(accountOfPushes([slice(39, 0, 1)], ledger(0, 1), batchesPerEpoch, 3)).toEqual(even);
  });

  it("finds a batch that counts and that a slice lacks, whatever other batches the slice has", () => {
    const slices = [slice(42, 0, 1), slice(42, 0, 5)];
    expect(accountOfPushes(slices, ledger(0, 1), batchesPerEpoch, 0)).toEqual({
      ...{ pushesLost: 1, pushesDoubled: 0 },
    });
  });

  it("finds a push id without an update, and a complete epoch that a slice has no whole of", () => {
    expect(accountOfPushes([slice(40, 0, 1)], ledger(0), batchesPerEpoch, 0).pushesLost).toBe(2);
    const behind = {
      count: 35,
      pushIds: {
        newestEpoch: 3,
        epochs: new Map([
          [2, full],
          [3, bits(1, 2, 3, 4, 5)],
        ]),
      },
    };
    expect(accountOfPushes([behind], ledger(), batchesPerEpoch, 0).pushesLost).toBe(5);
  });

  it("finds an update of a push id that was applied before", () => {
    expect(accountOfPushes([slice(42, 0, 1), slice(44, 0, 1)], ledger(0, 1), batchesPerEpoch, 0)).toEqual({
      ...{ pushesLost: 0, pushesDoubled: 2 },
    });
  });
});
