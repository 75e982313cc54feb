export type { Job, JobInput } from "@downpour/job";
export type { JobEvent, JobSummary, Progress, TimedJobEvent } from "@downpour/protocol";
export { defineJob, type LaunchedJob, type LaunchOptions, launch } from "./launch.ts";
export { main } from "./main.ts";
