import type { LoadOptions } from "@downpour/datasets";
import type { Job } from "@downpour/job";

/** Where data files are on this machine. */
export interface DataPlaces {
  /** Where downloads are kept. */
  readonly cacheDirectory: string;
  /** Folder of the data files; the job's where it is left out. */
  readonly dataDirectory: string | undefined;
}

/** How a job's data set is loaded: the same in every process, so that all hold the same splits. */
export function loadOptionsOf(job: Job, places: DataPlaces): LoadOptions {
  const { validation, download, trainLimit } = job.data;
  const dataDirectory = places.dataDirectory ?? job.data.directory;
  return {
    cacheDirectory: places.cacheDirectory,
    seed: job.seed,
    validation,
    download,
    ...(dataDirectory === undefined ? {} : { dataDirectory }),
    ...(trainLimit === undefined ? {} : { trainLimit }),
  };
}
