import type { Command } from "commander";
import { tableLines } from "../bench/table.ts";
import type { CliConfig } from "../config.ts";
import type { Reporter } from "../reporter.ts";

/** What is said of a data set. */
interface DatasetFacts {
  readonly name: "digits" | "mnist" | "cifar10" | "cifar100" | "images" | "tfrecord" | "csv";
  readonly description: string;
  /** Height, width, channels; null where the job file says. */
  readonly image: readonly [number, number, number] | null;
  readonly classes: number | null;
  /** Training images before validation is carved, and test images; null where the files say. */
  readonly train: number | null;
  readonly test: number | null;
  /** Where the files come from. */
  readonly source: "drawn" | "fetched" | "own files";
}

export const datasetFacts: readonly DatasetFacts[] = [
  {
    ...{ name: "digits", description: "drawn digits, from a seed", image: [28, 28, 1], classes: 10 },
    ...{ train: 20_000, test: 2_000, source: "drawn" },
  },
  {
    ...{ name: "mnist", description: "handwritten digits", image: [28, 28, 1], classes: 10 },
    ...{ train: 60_000, test: 10_000, source: "fetched" },
  },
  {
    ...{
      name: "cifar10",
      description: "small photographs of animals and vehicles",
      image: [32, 32, 3],
      classes: 10,
    },
    ...{ train: 50_000, test: 10_000, source: "fetched" },
  },
  {
    ...{ name: "cifar100", description: "small photographs of 100 things", image: [32, 32, 3], classes: 100 },
    ...{ train: 50_000, test: 10_000, source: "fetched" },
  },
  {
    ...{
      name: "images",
      description: "a folder of JPEG and PNG files, a folder per class",
      image: null,
      classes: null,
    },
    ...{ train: null, test: null, source: "own files" },
  },
  {
    ...{ name: "tfrecord", description: "TFRecord files of tf.Example", image: null, classes: null },
    ...{ train: null, test: null, source: "own files" },
  },
  {
    ...{ name: "csv", description: "CSV with pixels, or with paths of images", image: null, classes: null },
    ...{ train: null, test: null, source: "own files" },
  },
];

/** Adds `downpour datasets`. */
export function addDatasets(program: Command, config: CliConfig, reporter: () => Reporter): void {
  program
    .command("datasets")
    .description("list the data sets that a job file can name")
    .addHelpText("after", "\nExample:\n  downpour datasets")
    .action(() => listDatasets(config, reporter()));
}

/** `downpour datasets`. */
export function listDatasets(
  config: Pick<CliConfig, "cacheDirectory" | "dataDirectory">,
  reporter: Reporter,
): void {
  const number = (count: number | null) => (count === null ? "" : count.toLocaleString("en"));
  const rows = datasetFacts.map(({ name, image, classes, train, test, source, description }) => [
    name,
    image?.join("x") ?? "",
    number(classes),
    number(train),
    number(test),
    source,
    description,
  ]);
  const { cacheDirectory, dataDirectory } = config;
  const places = { cacheDirectory, dataDirectory: dataDirectory ?? null };
  reporter.result({ datasets: datasetFacts, ...places }, [
    ...tableLines([["data set", "images", "classes", "training", "test", "source", "what"], ...rows]),
    "",
    dataDirectory === undefined
      ? `Fetched files are kept in ${cacheDirectory}; --data-dir names a folder that has them already`
      : `Files are looked for in ${dataDirectory} (DOWNPOUR_DATA_DIR)`,
    "docs/data.md says how own files are laid out",
  ]);
}
