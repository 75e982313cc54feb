export { EventFile, scalar, text } from "./event-file.ts";
export {
  type BoardEvent,
  decodeEvent,
  type Histogram,
  type SummaryImage,
  type SummaryValue,
} from "./event-messages.ts";
export { histogramOf, histogramOfCounts } from "./histogram.ts";
export { boardFolder, boardRuns, JobBoard, type JobBoardOptions } from "./job-board.ts";
