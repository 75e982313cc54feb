import { randomUUID } from "node:crypto";
import { codeOf, DownpourError } from "@downpour/errors";
import { checkJob } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import { type MetricsAddress, Readiness, RoleMetrics, serveMetrics } from "@downpour/metrics";
import {
  type CoordinatorCaller,
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
import { grpcReplicas } from "./grpc-replica.ts";
import { serverReadings } from "./metrics.ts";
import { Nudge } from "./nudge.ts";
import { ParameterStore } from "./parameter-store.ts";
import { readCheckpoint } from "./read-checkpoint.ts";
import { serverStatus } from "./server-status.ts";
import { parameterServerHandlers } from "./service.ts";
import { threadExecutor } from "./thread-executor.ts";
import { tryStore } from "./try-store.ts";

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
 * @throws failedPrecondition and others: this machine does not see the coordinator's folder of checkpoints
 */
async function getJobAndTryStore(coordinator: CoordinatorCaller) {
  const answer = await coordinator.call("GetJob", {});
  try {
    await tryStore(answer);
  } catch (error) {
    // Another coordinator may have taken over, and placed a probe of its own.
    const { checkpointProbe } = await coordinator.call("GetJob", {});
    if (checkpointProbe === answer.checkpointProbe) throw error;
    throw new DownpourError("unavailable", "another coordinator has taken over meanwhile", { cause: error });
  }
  return answer;
}

/**
 * Runs a parameter server until the coordinator ends the job or `signal` aborts. While the coordinator does not answer it
 * goes on with what it has. One that the coordinator does not know any more (it was stopped for long, or cut off) gives
 * up its slices, which are others' by now, and registers again.
 *
 * @throws unavailable: the coordinator is not reached, or away for longer than `cluster.recoveryTimeoutMs`; environment:
 * the port is taken, or a certificate or the token is no good; failedPrecondition, notFound, environment,
 * resourceExhausted: the folder of checkpoints is not the coordinator's, or can't be written; internal: an apply thread
 * crashed
 */
export async function runParameterServer(options: ParameterServerOptions): Promise<void> {
  const { logger, signal } = options;
  const identity = await loadIdentity(options.identity, "server");
  const coordinator = connectCoordinator(options.coordinatorAddress, callDeadlineMs, identity);
  const connect = { giveUpAfterMs: options.connectTimeoutMs, signal };
  try {
    const { jobJson } = await retry(() => getJobAndTryStore(coordinator), connect);
    const job = checkJob(JSON.parse(jobJson), "the coordinator's job");
    const stop = new AbortController();
    let failure: Error | undefined;
    const onFailure = (error: Error) => {
      failure ??= error;
      stop.abort();
    };
    const { heartbeatIntervalMs, memberTimeoutMs, recoveryTimeoutMs } = job.cluster;
    const { host, port, tls = identity.tls } = options;
    const news = new Nudge();
    const store: ParameterStore = new ParameterStore({
      job,
      makeExecutor: threadExecutor,
      after,
      onFailure,
      connectReplica: grpcReplicas({
        identity: { ...identity, ...(tls && { tls }) },
        timeoutMs: memberTimeoutMs,
        manifestFingerprint: () => store.manifestFingerprint,
      }),
      onReplicasChanged: () => news.give(),
      readCheckpoint,
    });
    const handlers = parameterServerHandlers(store, logger);
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
      await serveUntilStopped(options.advertise ?? serving.address, readiness);
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

    async function serveUntilStopped(address: string, ready: Readiness): Promise<void> {
      const stopped = AbortSignal.any([signal, stop.signal]);
      for (let waitMs = options.connectTimeoutMs; !stopped.aborted; waitMs = recoveryTimeoutMs) {
        const registration = { address, incarnation: randomUUID() };
        const { memberId } = await retry(() => coordinator.call("RegisterServer", registration), {
          giveUpAfterMs: waitMs,
          signal: stopped,
        });
        logger.info({ memberId, address }, "registered with the coordinator");
        ready.ready();
        try {
          await reportUntilStopped(memberId, stopped);
        } catch (error) {
          if (codeOf(error) !== "unknownMember") throw error;
          logger.warn({ memberId }, "the coordinator took this server for dead: its slices are given up");
          await store.drop();
        }
      }
    }

    function reportUntilStopped(memberId: string, stopped: AbortSignal): Promise<void> {
      return sendHeartbeats({
        coordinator,
        memberId,
        intervalMs: heartbeatIntervalMs,
        giveUpAfterMs: recoveryTimeoutMs,
        signal: stopped,
        onAnswer: ({ command, schedule }) => {
          if (schedule !== null) store.observeSchedule(schedule);
          if (command === "COMMAND_STOP") stop.abort();
        },
        replicas: () =>
          store.replicaReports.map(({ inStep, ...report }) => ({
            ...report,
            state: inStep ? "REPLICA_STATE_IN_STEP" : "REPLICA_STATE_LOST",
          })),
        pause: (ms, until) => news.pause(ms, until),
      });
    }
  } catch (error) {
    // Told to stop while it could not reach the coordinator: nothing was lost.
    if (!signal.aborted || !isTransient(error)) throw error;
  } finally {
    coordinator.close();
  }
}
