import type { Job } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import { runCoordinator } from "./run-coordinator.ts";

/* A coordinator as a process of its own, for tests that kill it: `node coordinator-process.test.suite.js JSON`. */

interface Arguments {
  readonly job: Job;
  readonly runDirectory: string;
  readonly port: number;
}

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as Logger;
const { job, runDirectory, port } = JSON.parse(process.argv[2] ?? "") as Arguments;

await runCoordinator({
  job,
  runDirectory,
  host: "127.0.0.1",
  port,
  logger: quiet,
  signal: new AbortController().signal,
  onListening: (address) => process.stdout.write(`${address}\n`),
});
