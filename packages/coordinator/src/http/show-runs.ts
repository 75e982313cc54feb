import { basename, resolve } from "node:path";
import { RecordedSource } from "./recorded-source.ts";
import { type ServedPage, servePage } from "./serve-page.ts";

export interface ShowOptions {
  /** Folders of runs; at least one. */
  readonly folders: readonly string[];
  /** Left out: the usual one, or any free one where that is taken. */
  readonly port: number | undefined;
}

/**
 * Serves the page for runs that were recorded, on this machine alone.
 * @throws usage: a folder holds no run; corruptData: its events can't be read; environment: the port is in use
 */
export async function showRuns({ folders, port }: ShowOptions): Promise<ServedPage> {
  const paths = [...new Set(folders.map((folder) => resolve(folder)))];
  const sources: RecordedSource[] = [];
  for (const [i, path] of paths.entries()) {
    // Two runs of one name are told apart by their whole path.
    const unique = paths.every((other, j) => i === j || basename(other) !== basename(path));
    sources.push(await RecordedSource.open(path, unique ? basename(path) : path));
  }
  const portOption = `--port ${(port ?? 0) + 1}`;
  return servePage({ host: "127.0.0.1", port, portOption, sources, identity: {} });
}
