import { execFile, spawn } from "node:child_process";
import { dockerEnvironment } from "../config.ts";

/** What a program said, and how it ended. */
export interface Said {
  /** null: it could not be started, or was ended by a signal. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The program does not exist. */
  readonly missing: boolean;
}

/** A command that does not answer by then is given up: a remote engine may be gone. */
const answerTimeoutMs = 60_000;

const outputBytesMax = 64 * 1024 * 1024;

/** Runs `docker` with these arguments; never rejects. */
export function docker(...args: readonly string[]): Promise<Said> {
  return runProgram("docker", args);
}

/** Runs a program with these arguments and docker's environment; never rejects. */
export function runProgram(program: string, args: readonly string[]): Promise<Said> {
  const options = { env: dockerEnvironment(), timeout: answerTimeoutMs, maxBuffer: outputBytesMax };
  return new Promise((resolve) => {
    execFile(program, [...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      const missing = code === "ENOENT";
      resolve({ status: typeof code === "number" ? code : null, stdout, stderr, missing });
    });
  });
}

/**
 * Calls `onLine` with each line of a command that goes on, until it ends or the signal aborts.
 * @returns its exit status; null when it was ended
 */
export function dockerLines(
  args: readonly string[],
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn("docker", [...args], {
      env: dockerEnvironment(),
      stdio: ["ignore", "pipe", "ignore"],
    });
    let unread = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (unread + text).split("\n");
      unread = lines.pop() ?? "";
      for (const line of lines) onLine(line);
    });
    const end = () => child.kill("SIGTERM");
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    child.once("error", () => resolve(null));
    child.once("close", (status) => {
      signal.removeEventListener("abort", end);
      resolve(status);
    });
  });
}
