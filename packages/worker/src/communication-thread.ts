import { parentPort, workerData } from "node:worker_threads";
import { codeOf, DownpourError, messageOf } from "@downpour/errors";
import { makeLogger } from "@downpour/logging";
import { loadIdentity } from "@downpour/protocol";
import { type CommunicationEnd, type CommunicationInput, stopMessage } from "./communication.ts";
import type { Compute } from "./compute.ts";
import { evaluate } from "./evaluate.ts";
import { callPort } from "./port-calls.ts";
import { runSessions } from "./session.ts";
import { train } from "./train.ts";

async function run(input: CommunicationInput, stop: AbortSignal): Promise<void> {
  const compute = callPort<Compute>(input.computePort, [
    "prepare",
    "rehearse",
    "step",
    "validate",
    "writeBoard",
    "keepBest",
    "finish",
  ]);
  const logger = makeLogger(input.role, input.logFile);
  const { role, coordinatorAddress, connectTimeoutMs } = input;
  try {
    // Read here, since a token can't be sent between threads.
    const identity = await loadIdentity(input.identity, role);
    const options = { role, coordinatorAddress, connectTimeoutMs, logger, identity, signal: stop };
    await runSessions(options, compute, role === "worker" ? train : evaluate);
    logger.info("left the job");
  } catch (error) {
    logger.error({ code: codeOf(error), err: error }, messageOf(error));
    throw error;
  }
}

const port = parentPort;
if (port === null) throw new DownpourError("internal", "communication-thread.ts must run as a worker thread");
const stop = new AbortController();
port.on("message", (message) => {
  if (message === stopMessage) stop.abort();
});
let end: CommunicationEnd = { kind: "done" };
try {
  await run(workerData as CommunicationInput, stop.signal);
} catch (error) {
  const code = codeOf(error);
  end = { kind: "failed", code, message: messageOf(error) };
}
port.postMessage(end);
