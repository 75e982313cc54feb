import { parentPort, workerData } from "node:worker_threads";
import { codeOf, DownpourError, messageOf } from "@downpour/errors";
import { makeLogger } from "@downpour/logging";
import { type MetricsEndpoint, Readiness } from "@downpour/metrics";
import { loadIdentity } from "@downpour/protocol";
import { type CommunicationEnd, type CommunicationInput, stopMessage } from "./communication.ts";
import type { Compute } from "./compute.ts";
import { evaluate } from "./evaluate.ts";
import { showMetrics } from "./member-endpoint.ts";
import { MemberFigures } from "./member-figures.ts";
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
  const figures = new MemberFigures();
  const readiness = new Readiness("has not joined the job yet");
  let endpoint: MetricsEndpoint | undefined;
  try {
    if (input.metrics !== undefined) {
      endpoint = await showMetrics(role, input.metrics, figures, readiness);
      logger.info({ address: endpoint.address }, "metrics");
    }
    // Read here, since a token can't be sent between threads.
    const identity = await loadIdentity(input.identity, role);
    const shown = { figures, readiness };
    const options = { role, coordinatorAddress, connectTimeoutMs, logger, identity, signal: stop, ...shown };
    await runSessions(options, compute, role === "worker" ? train : evaluate);
    logger.info("left the job");
  } catch (error) {
    logger.error({ code: codeOf(error), err: error }, messageOf(error));
    throw error;
  } finally {
    await endpoint?.close();
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
