import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { removeProbe } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import { type MetricsAddress, Readiness, RoleMetrics, serveMetrics } from "@downpour/metrics";
import { type IdentityFiles, loadIdentity, serve, services } from "@downpour/protocol";
import { JobBoard } from "@downpour/tensorboard";
import {
  highestEpoch,
  loadResumePlan,
  placeServersProbe,
  probeStore,
  storeFolderOf,
} from "./checkpoint-store.ts";
import { CoordinatorCore } from "./coordinator-core.ts";
import { CoordinatorShell } from "./coordinator-shell.ts";
import { EventFile } from "./event-history.ts";
import { guardHandlers } from "./guard-handlers.ts";
import { startLivePage } from "./live-page.ts";
import { coordinatorReadings, EventCounts } from "./metrics.ts";
import { metricsLine } from "./metrics-lines.ts";
import { coordinatorHandlers } from "./service.ts";
import { openEmbeddedState, openNatsState, type StatePlace } from "./state-places.ts";
import { fenceState, readStoredJob, storedManifest, storeJob } from "./stored-job.ts";
import { summaryOf } from "./summary.ts";

export interface CoordinatorOptions {
  readonly job: Job;
  /** Folder for state, events and results; made where it does not exist. One that has a run of this job goes on with it. */
  readonly runDirectory: string;
  /** Address to listen on, reachable by all members. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly logger: Logger;
  /** Ends the coordinator at once when it aborts. */
  readonly signal: AbortSignal;
  /** Certificates and join token of the cluster; plain text, and nothing is checked, when left out. */
  readonly identity?: IdentityFiles | undefined;
  /** Called once with host:port, when this coordinator leads. */
  readonly onListening: (address: string) => void;
  /** Called once with the address of the live page, where the job has one. */
  readonly onPage?: (url: string) => void;
  /** Where metrics and health are shown; nowhere when left out. */
  readonly metrics?: MetricsAddress | undefined;
  /**
   * Begin with a checkpoint instead of the state that is stored: the newest of the job's store that can be loaded, or the
   * one named (its folder, or its name in the store). For the first start of a run only: a coordinator that is started
   * again goes on with its state.
   */
  readonly resume?: true | { readonly checkpoint: string } | undefined;
}

const closeGraceMs = 500;

/**
 * Runs the coordinator of one job until the job ends, `signal` aborts, or another coordinator takes over. With
 * `cluster.state: nats` it first waits, and answers nobody, while another leads.
 *
 * Writes `events.jsonl`, `metrics.jsonl`, `ledger.json` and `summary.json` to the run directory, and keeps its state in `state/` or NATS.
 *
 * @throws jobFailed: the job failed; usage: the run directory has another job, one that is over, or the checkpoint is of
 * another; fenced: another coordinator has taken over; notFound, corruptData: the checkpoint can't be loaded; environment:
 * the port is taken, a folder can't be written, or a certificate or the token is no good
 */
export async function runCoordinator(options: CoordinatorOptions): Promise<void> {
  const { job, runDirectory, logger, signal } = options;
  const identity = await loadIdentity(options.identity, "coordinator");
  await mkdir(runDirectory, { recursive: true });
  if (signal.aborted) return;
  const checkpointFolder = storeFolderOf(job, runDirectory);
  await probeStore(checkpointFolder);
  // Whoever stands by is alive, and not ready.
  const shown = await showMetrics();
  const placeOptions = { job, runDirectory, identity, logger };
  let place: StatePlace;
  try {
    place =
      job.cluster.state === "nats" ? await openNatsState(placeOptions) : openEmbeddedState(placeOptions);
  } catch (error) {
    await shown.close();
    throw error;
  }
  try {
    const lockEpoch = await place.lead(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      return undefined;
    });
    if (!signal.aborted) await lead(lockEpoch);
  } finally {
    await shown.close();
    await place.store.close();
  }

  async function lead(lockEpoch: number | undefined): Promise<void> {
    const nowMs = () => performance.now();
    const { state, epochBase } = await readStoredJob(
      place.store,
      job,
      options.resume !== undefined,
      place.name,
    );
    const inStore = await highestEpoch(checkpointFolder);
    const base = epochBase ?? inStore;
    const before = state?.coordinatorEpoch ?? 0;
    const coordinatorEpoch = lockEpoch === undefined ? Math.max(before, inStore) + 1 : base + lockEpoch;
    const plan =
      options.resume === undefined
        ? undefined
        : await loadResumePlan(
            checkpointFolder,
            job,
            options.resume === true ? undefined : options.resume.checkpoint,
          );
    await storeJob(place.store, job, base);
    // What an earlier coordinator wrote up to now counts; what it writes from now on is refused.
    const fenced = await fenceState(place.store, coordinatorEpoch);
    const checkpointProbe = await placeServersProbe(checkpointFolder, coordinatorEpoch);
    const { events, earlierCount } = await place.openEvents();
    const eventFile = join(runDirectory, "events.jsonl");
    const earlier = { file: eventFile, count: earlierCount };
    const file = new EventFile(eventFile);
    const metricsFile = join(runDirectory, "metrics.jsonl");
    const addressFile = join(runDirectory, "coordinator.json");
    const ended = new AbortController();
    const counts = new EventCounts();
    const board = job.logging.tensorboard
      ? new JobBoard({
          runDirectory,
          batchesPerEpoch: () => core.ledger?.batchesPerEpoch,
          onFailure: (err) => logger.warn({ err }, "no more is written for TensorBoard"),
        })
      : undefined;
    const emit: ConstructorParameters<typeof CoordinatorCore>[2] = (event) => {
      // Members that leave after the end are in the log.
      if (ended.signal.aborted) return;
      const timed = { timeMs: Date.now(), event };
      counts.observe(event);
      board?.take(timed.timeMs, event);
      const line = metricsLine(timed.timeMs, event, core.ledger?.batchesPerEpoch ?? 0);
      if (line !== undefined) appendFileSync(metricsFile, `${JSON.stringify(line)}\n`);
      events.publish(timed);
      file.append(timed);
      if (event.type === "ended") ended.abort();
    };
    const goesOn = plan === undefined && fenced !== undefined;
    const core: CoordinatorCore = goesOn
      ? CoordinatorCore.restore(job, fenced.state, await storedManifest(place.store), nowMs(), emit)
      : new CoordinatorCore(job, nowMs(), emit, plan);
    const shell = new CoordinatorShell({
      core,
      store: place.store,
      stateRevision: fenced?.revision,
      coordinatorEpoch,
      checkpointFolder,
      identity,
      logger,
      emit,
      nowMs,
      ended: ended.signal,
      signal,
    });
    let closePage = async () => {};
    try {
      await shell.start();
      if (goesOn) emit({ type: "coordinatorStarted", coordinatorEpoch, state: core.lifecycle.kind });
      logger.info({ coordinatorEpoch, state: core.lifecycle.kind }, "coordinator started");
      const checkpoints = { checkpointStore: checkpointFolder, checkpointProbe };
      const handlers = coordinatorHandlers({ ...shell.service, ...checkpoints, events, runDirectory });
      const guarded = guardHandlers(handlers, () => place.leads() && !shell.isDeposed);
      const serving = await serve(services.Coordinator.service, guarded, options.host, options.port, {
        tls: identity.tls,
        access: { token: identity.token, onRefused: (refusal) => logger.warn(refusal, "refused a call") },
      });
      logger.info({ address: serving.address }, "listening");
      // For those who look for the coordinator of a run; gone when it ends in an orderly way.
      writeFileSync(addressFile, `${JSON.stringify({ address: serving.address, pid: process.pid })}\n`);
      options.onListening(serving.address);
      try {
        const { commands } = shell;
        const { onPage } = options;
        closePage = await startLivePage({
          core,
          events,
          commands,
          runDirectory,
          identity,
          logger,
          nowMs,
          earlier,
          onPage,
        });
        shown.lead(() => coordinatorReadings(core, counts, serving.refusals, nowMs()));
        await keepLeadingWhile(place, () => shell.run());
        await writeResults(core);
      } finally {
        await serving.close(closeGraceMs);
        if (identity.tls !== undefined) logger.info({ refusals: serving.refusals }, "closed");
      }
    } finally {
      // However it came to an end, whoever follows the signal must hear of it.
      ended.abort();
      await closePage();
      await shell.close();
      await events.close();
      file.close();
      board?.close();
      await removeProbe(checkpointFolder, checkpointProbe).catch(() => undefined);
      rmSync(addressFile, { force: true });
    }
    if (core.lifecycle.kind === "failed") throw new DownpourError("jobFailed", core.lifecycle.message);
  }

  /** Health from the beginning; metrics, and that it is ready, once it leads. */
  async function showMetrics() {
    const readiness = new Readiness("standing by, or starting");
    let read: () => Partial<ReturnType<typeof coordinatorReadings>> = () => ({});
    const lead = (readNow: typeof read) => {
      read = readNow;
      readiness.ready();
    };
    if (options.metrics === undefined) return { lead, close: async () => undefined };
    const metrics = new RoleMetrics("coordinator", () => read());
    const endpoint = await serveMetrics({ ...options.metrics, metrics, readiness });
    logger.info({ address: endpoint.address }, "metrics");
    return { lead, close: () => endpoint.close() };
  }

  async function writeResults(core: CoordinatorCore): Promise<void> {
    core.ledger?.prove();
    const epochs = core.ledger?.epochRecords() ?? [];
    await writeFile(join(runDirectory, "ledger.json"), `${JSON.stringify({ epochs }, null, 2)}\n`);
    const summary = summaryOf(core, performance.now());
    await writeFile(join(runDirectory, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
  }
}

/** Runs while this process leads. @throws what `run` throws, or that another has taken over */
async function keepLeadingWhile(place: StatePlace, run: () => Promise<void>): Promise<void> {
  const done = new AbortController();
  const leading = place.keepLeading(done.signal);
  // The lock may be kept for ever, or there is none.
  const deposed = leading.then(() => new Promise<never>(() => undefined));
  try {
    await Promise.race([run(), deposed]);
  } finally {
    done.abort();
    await leading.catch(() => undefined);
  }
}
