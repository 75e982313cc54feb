import { hostname } from "node:os";
import { destination, type Logger, pino } from "pino";

export type { Logger };

/**
 * A structured logger: one JSON object per line.
 *
 * @param role who writes, for example "worker"
 * @param file appended to; standard error where it is left out
 */
export function makeLogger(role: string, file: string | undefined): Logger {
  // Synchronous, so that the last line before a crash is there.
  const target = destination({ dest: file ?? 2, sync: true, mkdir: true, append: true });
  return pino({ base: { role, host: hostname(), pid: process.pid }, level: "info" }, target);
}
