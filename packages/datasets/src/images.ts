import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import type { SourceDataset } from "./assemble.ts";
import { labelArray, resolveDataPath } from "./data-files.ts";
import type { ImagesSpec, LoadOptions, Split } from "./dataset.ts";
import { type ListedSplit, listClassFolders, someOf } from "./image-folder.ts";

const sizeDefault = 224;
const sizeMax = 4_096;
const resizeMax = 4;

/** Names that the folder of held-out images goes by. */
const validationNames = ["val", "valid", "validation"] as const;

/**
 * A folder of images, `train/<class>/*` and, where they exist, `val` (or `valid`, `validation`) and `test` alike.
 * Only names and sizes are read here; images are read and decoded when a batch asks for them.
 *
 * With both `val` and `test`, they are the validation and test splits. With `val` alone, that is the test split, as
 * ImageNet's users expect, and validation is carved from the training data; the same with `test` alone. With neither,
 * the test split is carved as well.
 *
 * @throws DownpourError `usage` for a spec that cannot be; `notFound` and `corruptData` for what {@link
 * listClassFolders} refuses, two folders for validation, and a class that has no training images
 */
export async function readImages(spec: ImagesSpec, options: LoadOptions): Promise<SourceDataset> {
  const { height, width, channels, resize } = planImages(spec);
  const root = rootOf(spec, options);
  const train = await listClassFolders(join(root, "train"));
  const validationName = await validationNameOf(root);
  const held = await listIfNamed(root, validationName);
  const test = await listIfNamed(root, (await isThere(join(root, "test"))) ? "test" : undefined);
  for (const split of [held, test]) if (split) requireKnownClasses(split, train);
  const { classNames } = train;
  const [validationSplit, testSplit] = test ? [held, test] : [undefined, held];
  const splitOf = (listed: ListedSplit | undefined) => listed && toSplit(listed, classNames);
  return {
    name: "images",
    height,
    width,
    channels,
    resize,
    classNames,
    train: toSplit(train, classNames),
    validation: splitOf(validationSplit),
    test: splitOf(testSplit),
    identity: identityOf([train, validationSplit, testSplit]),
  };
}

/** The spec with its defaults filled in, and checked. */
function planImages(spec: ImagesSpec) {
  const { height = sizeDefault, width = sizeDefault, channels = 3, resize } = spec;
  requireInRange("height", height, 1, sizeMax, Number.isInteger(height));
  requireInRange("width", width, 1, sizeMax, Number.isInteger(width));
  requireInRange("channels", channels, 1, 3, channels === 1 || channels === 3);
  if (resize !== undefined) requireInRange("resize", resize, 1, resizeMax, true);
  return { height, width, channels, resize };
}

function requireInRange(name: string, value: number, low: number, high: number, isRight: boolean): void {
  if (isRight && value >= low && value <= high) return;
  const expected = name === "channels" ? "3 (colour) or 1 (grey)" : `from ${low} to ${high}`;
  throw new DownpourError("usage", `images: ${name} must be ${expected}, but is ${value}`, {
    facts: { [name]: value },
  });
}

function rootOf({ path }: ImagesSpec, { dataDirectory }: LoadOptions): string {
  if (path !== undefined) return resolveDataPath(path, dataDirectory);
  if (dataDirectory !== undefined) return dataDirectory;
  throw new DownpourError(
    "usage",
    "images: no folder is given: name it with path, --data-dir or DOWNPOUR_DATA_DIR",
  );
}

async function listIfNamed(root: string, name: string | undefined): Promise<ListedSplit | undefined> {
  return name === undefined ? undefined : await listClassFolders(join(root, name));
}

async function validationNameOf(root: string): Promise<string | undefined> {
  const found: string[] = [];
  for (const name of validationNames) if (await isThere(join(root, name))) found.push(name);
  if (found.length <= 1) return found[0];
  throw new DownpourError(
    "corruptData",
    `${root} has the folders ${found.join(" and ")}, which mean the same: leave one of them`,
    { facts: { folder: root, found: found.join(", ") } },
  );
}

async function isThere(folder: string): Promise<boolean> {
  return await stat(folder).then(
    (status) => status.isDirectory(),
    () => false,
  );
}

function requireKnownClasses(split: ListedSplit, train: ListedSplit): void {
  const known = new Set(train.classNames);
  const unknown = split.classNames.filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  throw new DownpourError(
    "corruptData",
    `${split.folder} has ${unknown.length} classes that ${train.folder} lacks (${someOf(unknown)}): nothing could ` +
      "learn them. Rename or remove these folders, or add training images",
    { facts: { folder: split.folder, unknownClasses: unknown.length, first: unknown[0] ?? null } },
  );
}

function toSplit(listed: ListedSplit, classNames: readonly string[]): Split {
  const paths = listed.images.flatMap((images) => images.map(({ path }) => path));
  const labels = listed.images.flatMap((images, i) => {
    const label = classNames.indexOf(listed.classNames[i] ?? "");
    return images.map(() => label);
  });
  const nameOf = (example: number) => join(listed.folder, paths[example] ?? "");
  return {
    exampleCount: paths.length,
    labels: labelArray(labels, classNames.length),
    pixels: { kind: "encoded", nameOf, readEncoded: (example) => readFile(nameOf(example)) },
  };
}

/** Over path and size of every image, split by split; the name of a split's folder does not matter. */
function identityOf(splits: readonly (ListedSplit | undefined)[]): string {
  const hash = createHash("sha256");
  for (const split of splits) {
    hash.update("split\n");
    for (const { path, sizeBytes } of split?.images.flat() ?? []) hash.update(`${path}\0${sizeBytes}\n`);
  }
  return hash.digest("hex");
}
