export { BucketTable, type ColumnSnapshot, type TableSnapshot } from "./bucket-table.ts";
export { eventLine, type LogLevel, type LogLine } from "./event-line.ts";
export { KeyMatrix, type MatrixSnapshot } from "./key-matrix.ts";
export type { Mark, MarkKind } from "./marks.ts";
export { RecordedRun } from "./recorded-run.ts";
export { type HistorySnapshot, historyBounds, RunHistory, type TimedLogLine } from "./run-history.ts";
export {
  addHistograms,
  type ControlsView,
  type EpochView,
  epochViewsMax,
  type LedgerView,
  type MemberState,
  type MemberView,
  type RunInfo,
  type RunState,
  type ScheduleView,
  type ServerView,
} from "./run-state.ts";
