import { spawn } from "node:child_process";

/** A process that was asked to end gets so long. */
const graceMs = 30_000;

/**
 * @typedef {{ ok: boolean, seconds: number, output: string }} Outcome
 *
 * Starts a command line as a shell does, and says how it ended.
 *
 * @param {string} text
 * @param {{
 *   folder: string,
 *   variables: NodeJS.ProcessEnv,
 *   timeoutMs: number,
 *   until?: string | undefined,
 * }} options until: the command is ended by SIGINT once it has printed this; it is no success without
 * @returns {Promise<Outcome>}
 */
export function startCommand(text, { folder, variables, timeoutMs, until }) {
  const startedMs = Date.now();
  // A group of its own, as a terminal gives it: Ctrl-C reaches every process of the command.
  const child = spawn("sh", ["-c", text], {
    cwd: folder,
    env: variables,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  /** @param {NodeJS.Signals} name */
  const signal = (name) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // It has ended.
    }
  };
  let output = "";
  /** @type {"printed" | "timedOut" | undefined} */
  let asked;
  /** @type {NodeJS.Timeout[]} */
  const timers = [];
  /** @param {"printed" | "timedOut"} why */
  const end = (why) => {
    asked = why;
    signal("SIGINT");
    timers.push(setTimeout(() => signal("SIGKILL"), graceMs));
  };
  timers.push(setTimeout(() => end("timedOut"), timeoutMs));
  /** @param {string} chunk */
  const take = (chunk) => {
    output += chunk;
    if (until !== undefined && asked === undefined && output.includes(until)) end("printed");
  };
  child.stdout.setEncoding("utf8").on("data", take);
  child.stderr.setEncoding("utf8").on("data", take);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, killedBy) => {
      for (const timer of timers) clearTimeout(timer);
      signal("SIGKILL"); // what it has left behind
      const ok =
        until === undefined
          ? code === 0 && asked === undefined
          : asked === "printed" && killedBy !== "SIGKILL";
      const end =
        asked === "timedOut"
          ? `\ntook longer than ${timeoutMs / 1000} s`
          : `\nended with ${killedBy ?? code}`;
      resolve({ ok, seconds: (Date.now() - startedMs) / 1000, output: output + end });
    });
  });
}
