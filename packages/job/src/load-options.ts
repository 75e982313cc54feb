import type { Job } from "./schema.ts";

/** Where data files are on this machine. */
export interface DataPlaces {
  /** Where downloads are kept. */
  readonly cacheDirectory: string;
  /** Folder of the data files; the job's where it is left out. */
  readonly dataDirectory: string | undefined;
}

/** How a data set is to be loaded, as `@downpour/datasets` takes it. */
export interface JobLoadOptions {
  readonly cacheDirectory: string;
  readonly dataDirectory: string | undefined;
  readonly seed: number;
  readonly validation: number;
  readonly download: boolean;
  readonly trainLimit: number | undefined;
  readonly normalization: Job["data"]["normalization"];
}

/** How a job's data set is loaded: the same in every process, so that all hold the same splits. */
export function loadOptionsOf(job: Job, places: DataPlaces): JobLoadOptions {
  const { directory, validation, download, trainLimit, normalization } = job.data;
  return {
    cacheDirectory: places.cacheDirectory,
    dataDirectory: places.dataDirectory ?? directory,
    seed: job.seed,
    validation,
    download,
    trainLimit,
    normalization,
  };
}
