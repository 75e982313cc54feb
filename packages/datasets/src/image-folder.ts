import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { DownpourError } from "@downpour/errors";
import { classCountMax, unreadableError } from "./data-files.ts";

/** What is read; letter case does not matter. */
const imageExtensions: ReadonlySet<string> = new Set([".jpg", ".jpeg", ".png"]);

/** Images that are not read. They are refused, since leaving them out in silence would lose examples. */
const otherImageExtensions: ReadonlySet<string> = new Set(
  ".avif .bmp .gif .heic .heif .jfif .jp2 .jxl .pgm .ppm .svg .tga .tif .tiff .webp".split(" "),
);

/** Folders within a class folder may be so deep; links that lead around in a circle are deeper. */
const folderDepthMax = 16;

/** Files whose size is asked for at once. */
const statsAtOnce = 64;

/** An image of a folder. */
export interface ListedImage {
  /** Inside the split's folder, with `/` between folders: `<class>/<file>`. */
  readonly path: string;
  /** Of the file; 0 for a link that leads nowhere, which is reported when it is read. */
  readonly sizeBytes: number;
}

/** `<split folder>/<class>/*`, both sorted by name. */
export interface ListedSplit {
  readonly folder: string;
  readonly classNames: readonly string[];
  /** Of each class, in the order of `classNames`. */
  readonly images: readonly (readonly ListedImage[])[];
}

/**
 * Lists a folder with a folder for each class, as torchvision's ImageFolder: classes by name, images anywhere in
 * theirs. Hidden files, and files that are no images by their extension, are ignored.
 *
 * @throws DownpourError `notFound` without the folder; `corruptData` without classes, for a class without images and
 * for images of a type that is not read
 */
export async function listClassFolders(folder: string): Promise<ListedSplit> {
  const entries = await readFolder(folder);
  const classNames: string[] = [];
  for (const entry of entries) {
    if (!isHidden(entry.name) && (await isFolder(folder, entry))) classNames.push(entry.name);
  }
  classNames.sort();
  requireClasses(classNames, folder);
  const images: ListedImage[][] = [];
  for (const className of classNames) images.push(await listClass(folder, className));
  requireNoEmptyClass(classNames, images, folder);
  return { folder, classNames, images };
}

function requireClasses(classNames: readonly string[], folder: string): void {
  if (classNames.length > 0 && classNames.length <= classCountMax) return;
  throw new DownpourError(
    "corruptData",
    `${folder} has ${classNames.length} class folders, expected 1 to ${classCountMax}: put the images of each class ` +
      "into a folder of its own, as in train/daisy/1.jpg",
    { facts: { folder, classes: classNames.length } },
  );
}

function requireNoEmptyClass(
  classNames: readonly string[],
  images: readonly (readonly ListedImage[])[],
  folder: string,
): void {
  const empty = classNames.filter((_, label) => images[label]?.length === 0);
  if (empty.length === 0) return;
  throw new DownpourError(
    "corruptData",
    `${folder} has no JPEG or PNG image for ${empty.length} of its ${classNames.length} classes (${someOf(empty)}): ` +
      "add images, or remove these folders",
    { facts: { folder, emptyClasses: empty.length, first: empty[0] ?? null } },
  );
}

async function listClass(splitFolder: string, className: string): Promise<ListedImage[]> {
  const found = { images: [] as string[], refused: [] as string[] };
  await walk(splitFolder, className, 1, found);
  if (found.refused.length > 0) {
    throw new DownpourError(
      "corruptData",
      `${join(splitFolder, className)} has ${found.refused.length} images that are neither JPEG nor PNG ` +
        `(${someOf(found.refused)}): convert or remove them`,
      { facts: { folder: join(splitFolder, className), count: found.refused.length } },
    );
  }
  found.images.sort();
  const listed: ListedImage[] = [];
  for (let begin = 0; begin < found.images.length; begin += statsAtOnce) {
    const some = found.images.slice(begin, begin + statsAtOnce);
    listed.push(...(await Promise.all(some.map((path) => withSize(splitFolder, path)))));
  }
  return listed;
}

async function withSize(splitFolder: string, path: string): Promise<ListedImage> {
  const sizeBytes = await stat(join(splitFolder, path)).then(
    ({ size }) => size,
    () => 0,
  );
  return { path, sizeBytes };
}

/** Gathers the files in a folder, `path` inside the split's, and in those within. */
async function walk(
  splitFolder: string,
  path: string,
  depth: number,
  found: { images: string[]; refused: string[] },
): Promise<void> {
  const folder = join(splitFolder, path);
  if (depth > folderDepthMax) {
    throw new DownpourError(
      "corruptData",
      `${folder} is more than ${folderDepthMax} folders deep: remove links that lead around in a circle`,
      { facts: { folder, folderDepthMax } },
    );
  }
  for (const entry of await readFolder(folder)) {
    if (isHidden(entry.name)) continue;
    const inner = `${path}/${entry.name}`;
    const extension = extname(entry.name).toLowerCase();
    if (await isFolder(folder, entry)) await walk(splitFolder, inner, depth + 1, found);
    else if (imageExtensions.has(extension)) found.images.push(inner);
    else if (otherImageExtensions.has(extension)) found.refused.push(inner);
  }
}

async function readFolder(folder: string): Promise<Dirent[]> {
  return await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw unreadableError(folder, cause);
  });
}

/** Whether an entry is a folder, or a link to one. */
async function isFolder(parent: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return await stat(join(parent, entry.name)).then(
    (status) => status.isDirectory(),
    () => false,
  );
}

function isHidden(name: string): boolean {
  return name.startsWith(".");
}

/** The first few of many names, for an error. */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
