import { expect, it } from "vitest";
import { compareNewestFirst, folderNameOf, nextCheckpointId, parseFolderName } from "./checkpoint-id.ts";

it("reads back the name of a folder", () => {
  const id = { sequence: 12, coordinatorEpoch: 3 };
  expect(folderNameOf(id)).toBe("checkpoint-12-e3");
  expect(parseFolderName("checkpoint-12-e3")).toEqual(id);
});

it.each(["checkpoint-012-e3", "checkpoint-12", ".removed-checkpoint-12-e3", "checkpoint-12-e3.tmp", "best"])(
  "passes over %s",
  (name) => {
    expect(parseFolderName(name)).toBeUndefined();
  },
);

it("takes a checkpoint of a later coordinator for newer, and then the higher sequence, as numbers", () => {
  const ids = ["checkpoint-9-e2", "checkpoint-10-e2", "checkpoint-11-e1"].map((name) =>
    parseFolderName(name),
  );
  const sorted = ids.filter((id) => id !== undefined).sort(compareNewestFirst);
  expect(sorted.map(folderNameOf)).toEqual(["checkpoint-10-e2", "checkpoint-9-e2", "checkpoint-11-e1"]);
});

it("goes on with the sequence over all coordinators, and refuses one that another has taken over from", () => {
  expect(nextCheckpointId([], 1)).toEqual({ sequence: 1, coordinatorEpoch: 1 });
  const known = [
    { sequence: 12, coordinatorEpoch: 2 },
    { sequence: 13, coordinatorEpoch: 1 },
  ];
  expect(nextCheckpointId(known, 3)).toEqual({ sequence: 14, coordinatorEpoch: 3 });
  expect(() => nextCheckpointId(known, 1)).toThrow(
    expect.objectContaining({
      code: "failedPrecondition",
      message: expect.stringContaining("has epoch 1, but the store has checkpoint-12-e2"),
    }),
  );
});
