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

/** A slice, its server and its generation of ownership. */
export interface PlacedSlice {
  readonly slice: SliceRange & { readonly term: number };
  readonly serverIndex: number;
}

/** What the first member to join fixes for the whole job: manifest, data and placement. */
export interface ClusterLayout {
  readonly manifest: Manifest;
  readonly data: DataFacts;
  readonly slices: readonly PlacedSlice[];
}

/** Ownership of slices begins with this term. */
const firstTerm = 1;

/** @throws invalidArgument: a split without examples */
export function makeLayout(job: Job, manifest: Manifest, data: DataFacts): ClusterLayout {
  for (const split of ["trainExamples", "validationExamples", "testExamples"] as const) {
    if (data[split] < 1) {
      throw new DownpourError(
        "invalidArgument",
        `the data set has no ${split.replace("Examples", "")} examples`,
      );
    }
  }
  const ranges = cutSlices(manifest, job.cluster.servers);
  const servers = placeSlices(ranges, job.cluster.servers);
  const slices = ranges.map((range, i) => ({
    slice: { ...range, term: firstTerm },
    serverIndex: servers[i] ?? 0,
  }));
  return { manifest, data, slices };
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
