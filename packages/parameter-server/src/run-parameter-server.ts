import { randomUUID } from "node:crypto";
import { checkJob } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import { type MetricsAddress, Readiness, RoleMetrics, serveMetrics } from "@downpour/metrics";
import {
  connectCoordinator,
  type IdentityFiles,
  isTransient,
  loadIdentity,
  retry,
  type Serving,
  sendHeartbeats,
  serve,
  services,
  type TlsMaterial,
} from "@downpour/protocol";
import type { After } from "./gate-keeper.ts";
import { serverReadings } from "./metrics.ts";
import { ParameterStore } from "./parameter-store.ts";
import { serverStatus } from "./server-status.ts";
import { parameterServerHandlers } from "./service.ts";
import { threadExecutor } from "./thread-executor.ts";

export interface ParameterServerOptions {
  readonly coordinatorAddress: string;
  /** Address to listen on; workers reach it, unless another one is advertised. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** host:port under which others reach this server, where that is not host and port: behind a name, in a container. */
  readonly advertise?: string | undefined;
  /** Where metrics and health are shown; nowhere when left out. */
  readonly metrics?: MetricsAddress | undefined;
  /** How long to try to reach the coordinator at first. */
  readonly connectTimeoutMs: number;
  readonly logger: Logger;
  /** Ends the server when it aborts. */
  readonly signal: AbortSignal;
  /** Mutual TLS with those who push and pull; plain text when left out. */
  readonly tls?: TlsMaterial | undefined;
  /** Certificates and join token of the cluster, for all connections; `tls` is not needed then. */
  readonly identity?: IdentityFiles | undefined;
}

/** Calls in progress get so long to end before they are cut off. */
const closeGraceMs = 1000;

/** Deadline of calls to the coordinator. */
const callDeadlineMs = 10_000;

const after: After = (ms, callBack) => {
  const timer = setTimeout(callBack, ms).unref();
  return () => clearTimeout(timer);
};

/**
 * Runs a parameter server until the coordinator ends the job or `signal` aborts.
 *
 * @throws unavailable: the coordinator is not reached, or lost later; environment: the port is taken, or a
 * certificate or the token is no good; internal: an
 * apply thread crashed
 */
export async function runParameterServer(options: ParameterServerOptions): Promise<void> {
  const { logger, signal } = options;
  const identity = await loadIdentity(options.identity, "server");
  const coordinator = connectCoordinator(options.coordinatorAddress, callDeadlineMs, identity);
  const connect = { giveUpAfterMs: options.connectTimeoutMs, signal };
  try {
    const { jobJson } = await retry(() => coordinator.call("GetJob", {}), connect);
    const job = checkJob(JSON.parse(jobJson), "the coordinator's job");
    const stop = new AbortController();
    let failure: Error | undefined;
    const onFailure = (error: Error) => {
      failure ??= error;
      stop.abort();
    };
    const store = new ParameterStore({ job, makeExecutor: threadExecutor, after, onFailure });
    const handlers = parameterServerHandlers(store, logger);
    const { host, port, tls = identity.tls } = options;
    const serving = await serve(services.ParameterServer.service, handlers, host, port, {
      tls,
      access: { token: identity.token, onRefused: (refusal) => logger.warn(refusal, "refused a call") },
    });
    const readiness = new Readiness("not registered with the coordinator");
    const endpoint = await showMetrics(store, serving, readiness).catch(async (error: unknown) => {
      await serving.close(0);
      await store.close();
      throw error;
    });
    try {
      const address = options.advertise ?? serving.address;
      const registration = { address, incarnation: randomUUID() };
      const { memberId } = await retry(() => coordinator.call("RegisterServer", registration), connect);
      logger.info({ memberId, address }, "registered with the coordinator");
      readiness.ready();
      await serveUntilStopped(memberId);
      if (failure !== undefined) throw failure;
    } finally {
      await endpoint?.close();
      await serving.close(failure === undefined ? closeGraceMs : 0);
      const { updatesApplied, duplicates, refused, stalenessHistogram } = serverStatus(store);
      await store.close();
      const refusals = tls === undefined ? {} : { refusals: serving.refusals };
      logger.info({ updatesApplied, duplicates, refused, stalenessHistogram, ...refusals }, "closed");
    }

    async function showMetrics(shown: ParameterStore, { refusals }: Serving, ready: Readiness) {
      if (options.metrics === undefined) return undefined;
      const metrics = new RoleMetrics("server", () => serverReadings(shown, refusals));
      const opened = await serveMetrics({ ...options.metrics, metrics, readiness: ready });
      logger.info({ address: opened.address }, "metrics");
      return opened;
    }

    async function serveUntilStopped(memberId: string): Promise<void> {
      await sendHeartbeats({
        coordinator,
        memberId,
        intervalMs: job.cluster.heartbeatIntervalMs,
        giveUpAfterMs: job.cluster.memberTimeoutMs,
        signal: AbortSignal.any([signal, stop.signal]),
        onAnswer: ({ command, schedule }) => {
          if (schedule !== null) store.observeSchedule(schedule);
          if (command === "COMMAND_STOP") stop.abort();
        },
      });
    }
  } catch (error) {
    // Told to stop while it could not reach the coordinator: nothing was lost.
    if (!signal.aborted || !isTransient(error)) throw error;
  } finally {
    coordinator.close();
  }
}
