import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DownpourError } from "@downpour/errors";
import { ownEnvironment } from "../config.ts";
import { nodeFlags } from "../process-settings.ts";

/** A process that others connect to. */
export interface ListeningProcess {
  /** What it said when it was ready. */
  readonly address: string;
  stop(): Promise<void>;
}

/** A process that does not end when it is told to is killed after so long. */
const stopGraceMs = 3000;

/**
 * Starts an entry of this folder, a file without its ending, and waits until it can be connected to.
 * @param input what the entry takes
 * @param known the address, where it is heard of in another way than by a message
 * @throws internal: it ended before
 */
export async function startListening(
  entry: string,
  input: unknown,
  known?: Promise<string>,
): Promise<ListeningProcess> {
  const child = fork(fileURLToPath(new URL(`./${entry}.js`, import.meta.url)), [JSON.stringify(input)], {
    execArgv: [...nodeFlags, ...process.execArgv],
    env: ownEnvironment(),
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let errors = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-10_000);
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const address = await new Promise<string>((resolve, reject) => {
    child.once("message", (message) => resolve(String(message)));
    child.once("error", reject);
    known?.then(resolve, reject);
    void ended.then(() => {
      const last = errors.trim().split("\n").at(-1) ?? "";
      reject(new DownpourError("internal", `${entry}: ended before it listened ${last}`.trimEnd()));
    });
  });
  return {
    address,
    async stop() {
      const timer = setTimeout(() => child.kill("SIGKILL"), stopGraceMs);
      child.kill("SIGTERM");
      await ended;
      clearTimeout(timer);
    },
  };
}
