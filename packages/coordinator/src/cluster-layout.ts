import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { cutSlices, type Manifest, placeSlices, type SliceRange } from "@downpour/parameter-vector";

/** The data set as a member loaded it. */
export interface DataFacts {
  readonly fingerprint: string;
  readonly trainExamples: number;
  readonly validationExamples: number;
  readonly testExamples: number;
}

/** A slice, who has it, and its generation of ownership. */
export interface PlacedSlice {
  readonly slice: SliceRange & { readonly term: number };
  /** Slot of the server that is its primary. */
  readonly serverIndex: number;
  readonly replica: ReplicaPlace | null;
  /**
   * - `held`: its primary has it, or waits for initial weights
   * - `restoring`: its primary is to take it from the layout's checkpoint
   * - `lost`: its primary died and no replica was in step; it waits for a server in the slot
   */
  readonly state: "held" | "restoring" | "lost";
}

/** Where the copy of a slice is. */
export interface ReplicaPlace {
  readonly serverIndex: number;
  /** It has every update that was acknowledged. */
  readonly inStep: boolean;
}

/** What the first member to join fixes for the whole job, manifest, data and slices; and who has them now. */
export interface ClusterLayout {
  readonly manifest: Manifest;
  readonly data: DataFacts;
  /** From 1, one more with each change that servers or members must know of. */
  readonly revision: number;
  /** How often slices went back to a checkpoint. */
  readonly rollback: number;
  /** Folder of the checkpoint of slices that are `restoring`. */
  readonly checkpoint: string | null;
  /** In parameter-vector order. */
  readonly slices: readonly PlacedSlice[];
}

/** Where slices come from that a job does not begin with initial weights. */
export interface LayoutOrigin {
  /** Folder of the checkpoint. */
  readonly checkpoint: string;
  /** Above that of every slice in it. */
  readonly term: number;
}

/** Ownership of slices begins with this term. */
const firstTerm = 1;

/** @throws invalidArgument: a split without examples */
export function makeLayout(
  job: Job,
  manifest: Manifest,
  data: DataFacts,
  origin?: LayoutOrigin,
): ClusterLayout {
  for (const split of ["trainExamples", "validationExamples", "testExamples"] as const) {
    if (data[split] < 1) {
      throw new DownpourError(
        "invalidArgument",
        `the data set has no ${split.replace("Examples", "")} examples`,
      );
    }
  }
  const { servers: serverCount, replicas } = job.cluster;
  const ranges = cutSlices(manifest, serverCount);
  const servers = placeSlices(ranges, serverCount);
  const slices = ranges.map((range, i): PlacedSlice => {
    const serverIndex = servers[i] ?? 0;
    return {
      slice: { ...range, term: origin?.term ?? firstTerm },
      serverIndex,
      replica: replicas === 0 ? null : { serverIndex: (serverIndex + 1) % serverCount, inStep: false },
      state: origin === undefined ? "held" : "restoring",
    };
  });
  return { manifest, data, revision: 1, rollback: 0, checkpoint: origin?.checkpoint ?? null, slices };
}

/** @throws failedPrecondition: a member's manifest or data differ from the job's, naming both */
export function checkAgreement(layout: ClusterLayout, manifest: Manifest, data: DataFacts): void {
  if (manifest.fingerprint !== layout.manifest.fingerprint) {
    throw new DownpourError(
      "failedPrecondition",
      `this member's manifest is ${short(manifest.fingerprint)} (${manifest.tensors.length} tensors, ` +
        `${manifest.length} elements), the job's is ${short(layout.manifest.fingerprint)} ` +
        `(${layout.manifest.tensors.length} tensors, ${layout.manifest.length} elements); run the same version ` +
        "and job on every machine",
    );
  }
  if (data.fingerprint !== layout.data.fingerprint) {
    throw new DownpourError(
      "failedPrecondition",
      `this member's data set is ${short(data.fingerprint)} (${counts(data)}), the job's is ` +
        `${short(layout.data.fingerprint)} (${counts(layout.data)}); give every machine the same data files`,
    );
  }
}

function short(fingerprint: string): string {
  return fingerprint.slice(0, 12);
}

function counts(data: DataFacts): string {
  return `${data.trainExamples} + ${data.validationExamples} + ${data.testExamples} examples`;
}
