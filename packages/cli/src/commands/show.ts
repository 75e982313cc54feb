import { DownpourError } from "@downpour/errors";
import type { Reporter } from "../reporter.ts";
import { stopSignal } from "../stop-signal.ts";

export interface ShowCommandOptions {
  readonly port?: string;
}

/** `downpour show RUN...`: the page of runs that were recorded, until it is interrupted. Returns the exit status. */
export async function show(
  folders: readonly string[],
  options: ShowCommandOptions,
  reporter: Reporter,
): Promise<number> {
  const stop = stopSignal();
  const { showRuns } = await import("@downpour/coordinator/show");
  const page = await showRuns({ folders, port: portOf(options.port) });
  reporter.note(
    `showing ${folders.length === 1 ? folders[0] : `${folders.length} runs`} at ${page.url} (Ctrl+C ends)`,
  );
  if (!stop.aborted) {
    await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
  }
  await page.close();
  reporter.result({ outcome: "finished", url: page.url }, []);
  return 0;
}

function portOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new DownpourError("usage", `--port ${text}: expected an integer of 1 to 65535`);
}
