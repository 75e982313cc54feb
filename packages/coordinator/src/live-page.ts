import { basename } from "node:path";
import type { Logger } from "@downpour/logging";
import type { Identity } from "@downpour/protocol";
import type { CoordinatorCore } from "./coordinator-core.ts";
import type { EventBus } from "./event-bus.ts";
import type { TimedEvent } from "./event-history.ts";
import type { JobCommands } from "./job-commands.ts";

export interface LivePageOptions {
  readonly core: CoordinatorCore;
  readonly events: EventBus<TimedEvent>;
  readonly commands: JobCommands;
  readonly runDirectory: string;
  /** Events that coordinators of this run wrote down before this one: so many bytes of the file. */
  readonly earlier: { readonly file: string; readonly count: number };
  readonly identity: Identity;
  readonly logger: Logger;
  /** A clock that never goes back, in milliseconds. */
  readonly nowMs: () => number;
  /** Called once with the page's address. */
  readonly onPage: ((url: string) => void) | undefined;
}

/**
 * Serves the live page of a job, where the job wants one, and returns what ends it.
 * @throws as servePage
 */
export async function startLivePage(options: LivePageOptions): Promise<() => Promise<void>> {
  const { core, identity, logger, runDirectory } = options;
  const { enabled, host, port } = core.job.dashboard;
  if (!enabled) return async () => undefined;
  // A coordinator without a page needs nothing of HTTP.
  const [{ servePage }, { LiveSource }] = await Promise.all([
    import("./http/serve-page.ts"),
    import("./http/live-source.ts"),
  ]);
  const source = await LiveSource.open({ ...options, runId: basename(runDirectory) });
  const portOption = `--set dashboard.port=${(port ?? 0) + 1}`;
  const page = await servePage({ host, port, portOption, sources: [source], identity });
  logger.info({ url: page.url }, "serving the live page");
  options.onPage?.(page.url);
  return () => page.close();
}
