import { loadDataset } from "@downpour/datasets";
import { type DataSpec, type Job, loadOptionsOf } from "@downpour/job";
import type { InputShape } from "@downpour/models";
import type { CliConfig } from "../config.ts";

/** Shape and number of classes of a job's images, as far as the job itself says; undefined: the files must. */
export function knownShape(set: DataSpec["set"]): InputShape | undefined {
  switch (set.name) {
    case "digits":
    case "mnist":
      return { height: 28, width: 28, channels: 1, classCount: 10 };
    case "cifar10":
      return { height: 32, width: 32, channels: 3, classCount: 10 };
    case "cifar100":
      return { height: 32, width: 32, channels: 3, classCount: set.labels === "coarse" ? 20 : 100 };
    case "images":
      return undefined;
    default: {
      const { height, width, channels, classNames } = set;
      return classNames === undefined
        ? undefined
        : { height, width, channels, classCount: classNames.length };
    }
  }
}

/** As {@link knownShape}, from the data set's files where need be. @throws notFound: they are not there */
export async function shapeOfData(
  job: Job,
  { cacheDirectory }: Pick<CliConfig, "cacheDirectory">,
): Promise<InputShape> {
  const known = knownShape(job.data.set);
  if (known !== undefined) return known;
  const places = { cacheDirectory, dataDirectory: undefined };
  // Statistics over all images are not needed to count classes.
  const options = { ...loadOptionsOf(job, places), normalization: { kind: "none" as const } };
  const { height, width, channels, classNames } = await loadDataset(job.data.set, options);
  return { height, width, channels, classCount: classNames.length };
}
