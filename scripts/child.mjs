import { spawn } from "node:child_process";
import { environment } from "./config.mjs";
import { root } from "./workspace.mjs";

/**
 * Runs a Node program in the repository's root on this terminal, and hands it the signals that this process gets. A
 * terminal sends Ctrl-C to the program itself, so it is not sent twice.
 *
 * @param {string[]} args
 * @param {Record<string, string>} [variables]
 * @returns {Promise<number>} its exit code. When a signal killed it, this process ends by the same signal
 */
export function runHere(args, variables = {}) {
  const onTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...environment, ...variables },
      stdio: "inherit",
    });
    const onInterrupt = () => {
      if (!onTerminal) child.kill("SIGINT");
    };
    const onTerminate = () => child.kill("SIGTERM");
    process.on("SIGINT", onInterrupt);
    process.on("SIGTERM", onTerminate);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      process.removeListener("SIGINT", onInterrupt);
      process.removeListener("SIGTERM", onTerminate);
      if (signal === null) resolve(code ?? 1);
      else process.kill(process.pid, signal);
    });
  });
}
