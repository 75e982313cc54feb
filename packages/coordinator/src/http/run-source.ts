import type { HistorySnapshot, RunInfo, RunState } from "@downpour/run-history";
import type { TimedEvent } from "../event-history.ts";
import type { Sequenced, SubscribeOptions } from "../event-log.ts";
import type { JobCommands } from "../job-commands.ts";

/** Follows the events of a run; returns the function that ends it. */
export type Follow = (
  listener: (event: Sequenced<TimedEvent>) => void | Promise<void>,
  options: SubscribeOptions,
) => () => void;

/** A run that the page shows: one that is under way, or one that was recorded. */
export interface RunSource {
  readonly info: RunInfo;
  /** Sequences mean something within one stream only. */
  readonly streamId: string;
  state(): RunState;
  history(): HistorySnapshot;
  /** undefined: no events come any more. */
  readonly follow: Follow | undefined;
  /** undefined: the run can only be looked at. */
  readonly commands: JobCommands | undefined;
}
