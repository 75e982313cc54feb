import { basename, dirname } from "node:path";
import { listCheckpoints, readSlices } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { ReadCheckpoint } from "./holdings.ts";

/**
 * Reads slices of a checkpoint, every byte verified. Memory: the arrays of the slices that meet the ranges, and one file
 * at a time.
 * @throws corruptData: naming the file that is missing or not as it was written; notFound: there is no such checkpoint
 */
export const readCheckpoint: ReadCheckpoint = async (folder, manifest, ranges) => {
  const expectation = { parametersFingerprint: manifest.fingerprint, verify: "sizes" } as const;
  const entries = await listCheckpoints(dirname(folder), expectation);
  const entry = entries.find(({ name }) => name === basename(folder));
  if (entry === undefined) {
    throw new DownpourError(
      "notFound",
      `there is no checkpoint ${folder}; does this machine see the same folder as the coordinator?`,
    );
  }
  if (entry.kind === "unusable") throw new DownpourError("corruptData", entry.message, { facts: { folder } });
  return readSlices(entry, manifest, ranges);
};
