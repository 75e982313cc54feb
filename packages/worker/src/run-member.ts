import { MessageChannel, Worker } from "node:worker_threads";
import { DownpourError } from "@downpour/errors";
import type { Device } from "@downpour/job";
import type { MetricsAddress } from "@downpour/metrics";
import type { IdentityFiles } from "@downpour/protocol";
import { type CommunicationEnd, type CommunicationInput, stopMessage } from "./communication.ts";
import type { Compute } from "./compute.ts";
import { servePort } from "./port-calls.ts";
import { TfjsCompute } from "./tfjs-compute.ts";

export interface RunMemberOptions {
  readonly role: "worker" | "evaluator";
  readonly coordinatorAddress: string;
  /** How long to try to reach the coordinator at first. */
  readonly connectTimeoutMs: number;
  /** Structured log; standard error where it is left out. */
  readonly logFile: string | undefined;
  /** Certificates and join token of the cluster; plain text when left out. */
  readonly identity?: IdentityFiles | undefined;
  /** Where metrics and health are shown; nowhere when left out. */
  readonly metrics?: MetricsAddress | undefined;
  /** Where downloads are kept. */
  readonly cacheDirectory: string;
  /** Folder of the data files on this machine; the job's where it is left out. */
  readonly dataDirectory: string | undefined;
  /** What to compute on; the job's where it is left out. */
  readonly device: Device | undefined;
  /** Told what people should know about how this member computes. */
  readonly onNotice: (notice: string) => void;
  /** Asks the member to drain and leave when it aborts. */
  readonly signal: AbortSignal;
}

/**
 * Runs a worker or an evaluator until its job ends or `signal` aborts: compute on this thread, which it blocks,
 * and communication on a thread of its own.
 *
 * @throws what either side failed with
 */
export async function runMember(options: RunMemberOptions): Promise<void> {
  const compute = new TfjsCompute(options);
  const { port1, port2 } = new MessageChannel();
  servePort<Compute>(port1, compute);
  const { role, coordinatorAddress, connectTimeoutMs, logFile, identity, metrics, signal } = options;
  const input: CommunicationInput = {
    role,
    coordinatorAddress,
    connectTimeoutMs,
    logFile,
    identity,
    metrics,
    computePort: port2,
  };
  const thread = new Worker(new URL("./communication-thread.js", import.meta.url), {
    workerData: input,
    transferList: [port2],
  });
  const onAbort = () => thread.postMessage(stopMessage);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const end = await new Promise<CommunicationEnd>((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
      thread.once("exit", (status) => {
        reject(new DownpourError("internal", `the communication thread ended early, with status ${status}`));
      });
    });
    if (end.kind === "failed") throw new DownpourError(end.code, end.message);
  } finally {
    signal.removeEventListener("abort", onAbort);
    port1.close();
    await thread.terminate();
    // Its thread would keep the process alive.
    await compute.close();
  }
}
