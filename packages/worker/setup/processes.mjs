import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const probeTimeoutMs = 30_000;
const outputCharsMax = 200_000;
const heartbeatMs = 15_000;

/**
 * The program's absolute path, looked for as a shell does; undefined when there is none.
 *
 * @param {string} name a name, or a path
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined}
 */
export function findProgram(name, env) {
  const suffixes = process.platform === "win32" ? [".exe", ".cmd", ".bat", ""] : [""];
  const folders = path.basename(name) === name ? (env.PATH ?? "").split(path.delimiter) : ["."];
  for (const folder of folders.filter((f) => f !== "")) {
    for (const suffix of suffixes) {
      const file = path.resolve(folder, name + suffix);
      if (isProgram(file)) return file;
    }
  }
  return undefined;
}

/** @param {string} file */
function isProgram(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/**
 * Runs a quick question such as `--version`.
 *
 * @param {string[]} command
 * @param {NodeJS.ProcessEnv} env
 * @returns {{ ok: boolean, output: string }}
 */
export function ask(command, env) {
  const [program = "", ...args] = command;
  const result = spawnSync(program, args, { env, encoding: "utf8", timeout: probeTimeoutMs, stdio: "pipe" });
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}`.trim();
  return { ok: result.status === 0, output: result.error ? result.error.message : output };
}

/**
 * @typedef {object} RunOptions
 * @property {NodeJS.ProcessEnv} env
 * @property {number} timeoutMs after this the program is killed, and the run has failed
 * @property {string} [cwd]
 * @property {boolean} [shell]
 * @property {(seconds: number) => void} [stillRunning] called every 15 s
 */

/**
 * Runs a program to its end with its output captured and no standard input. An interrupt of this process ends the
 * program as well.
 *
 * @param {string[]} command
 * @param {RunOptions} options
 * @returns {Promise<{ ok: boolean, output: string, seconds: number }>} never rejects; a program that can't be
 *   started is `ok: false` with the reason as output
 */
export function run(command, { env, timeoutMs, cwd, shell = false, stillRunning }) {
  const [program = "", ...args] = command;
  const startedMs = Date.now();
  const seconds = () => (Date.now() - startedMs) / 1000;
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env, shell, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    /** @param {Buffer} chunk */
    const collect = (chunk) => {
      output = (output + chunk.toString("utf8")).slice(-outputCharsMax);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    const timeout = setTimeout(() => {
      output += `\nstopped after ${timeoutMs / 1000} s`;
      child.kill("SIGKILL");
    }, timeoutMs);
    const heartbeat = setInterval(() => stillRunning?.(seconds()), heartbeatMs);
    const releaseSignals = endWithThisProcess(child);
    /** @param {boolean} ok */
    const finish = (ok) => {
      clearTimeout(timeout);
      clearInterval(heartbeat);
      releaseSignals();
      resolve({ ok, output: output.trim(), seconds: seconds() });
    };
    child.on("error", (error) => {
      output += `\n${error.message}`;
      finish(false);
    });
    child.on("close", (code) => finish(code === 0));
  });
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @returns {() => void} call it when the child has ended
 */
function endWithThisProcess(child) {
  /** @type {NodeJS.Signals[]} */
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  /** @param {NodeJS.Signals} signal */
  const onSignal = (signal) => {
    child.kill("SIGTERM");
    release();
    process.kill(process.pid, signal);
  };
  const release = () => {
    for (const signal of signals) process.removeListener(signal, onSignal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  return release;
}

/** Blank lines, and a JavaScript stack trace with what Node prints after it. */
const sayNothing = /^\s*$|^\s+at .*:\d+:\d+\)?( \{)?$|^Node\.js v\d/;

/**
 * @param {string} output
 * @param {number} count
 * @returns {string} the last lines that say something, indented
 */
export function lastLines(output, count) {
  const lines = output.split(/\r?\n/).filter((line) => !sayNothing.test(line));
  return lines
    .slice(-count)
    .map((line) => `    ${line}`)
    .join("\n");
}
