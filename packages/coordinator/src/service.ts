import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { manifestFromWire } from "@downpour/parameter-vector";
import {
  type CoordinatorHandlers,
  type HeartbeatRequest,
  type HeartbeatResponseInput,
  type JoinRequest,
  type JoinResponseInput,
  unary,
} from "@downpour/protocol";
import type { CheckpointWriter } from "./checkpoint-writer.ts";
import { controlHandlers } from "./control-handlers.ts";
import type { Converger } from "./converger.ts";
import type { CoordinatorCore } from "./coordinator-core.ts";
import type { EventBus } from "./event-bus.ts";
import { type TimedEvent, withoutEnd } from "./event-history.ts";
import type { JobCommands } from "./job-commands.ts";
import { memberAddresses, placedSlicesOf } from "./layout-view.ts";
import { isFinal } from "./lifecycle.ts";
import type { ServerMonitor } from "./server-monitor.ts";
import type { StateKeeper } from "./state-keeper.ts";
import {
  commandToWire,
  evaluationToWire,
  leaseToWire,
  replicaNotesFromWire,
  reportFromWire,
  roleFromWire,
  scheduleToWire,
} from "./wire.ts";

export interface CoordinatorServiceOptions {
  readonly core: CoordinatorCore;
  readonly coordinatorEpoch: number;
  readonly keeper: StateKeeper;
  readonly converger: Converger;
  readonly checkpoints: CheckpointWriter;
  readonly commands: JobCommands;
  /** Who is in the slots, or the layout, may have changed: it is stored, and servers are told. */
  readonly onServersChanged: () => void;
  readonly monitor: ServerMonitor;
  readonly events: EventBus<TimedEvent>;
  readonly runDirectory: string;
  /** Folder of all checkpoints, and the nonce of the probe in it that servers look for. */
  readonly checkpointStore: string;
  readonly checkpointProbe: string;
  readonly logger: Logger;
  /** A clock that never goes back, in milliseconds. */
  readonly nowMs: () => number;
}

/** How often a waiting call looks for an evaluation. */
const evaluationPollMs = 50;

/** A call waits for an evaluation no longer than this, whatever it asks for. */
const evaluationWaitMaxMs = 10_000;

/** The gRPC shell of a {@link CoordinatorCore}. */
export function coordinatorHandlers(options: CoordinatorServiceOptions): CoordinatorHandlers {
  const { core, coordinatorEpoch, keeper, converger, monitor, logger, nowMs } = options;
  const schedule = () => scheduleToWire(core.schedule);
  const command = (memberId: string) => commandToWire(core.command(memberId, nowMs()));
  return {
    GetJob: unary(() => ({
      jobJson: JSON.stringify(core.job),
      coordinatorEpoch,
      runDirectory: options.runDirectory,
      checkpointStore: options.checkpointStore,
      checkpointProbe: options.checkpointProbe,
    })),
    RegisterServer: unary(async ({ address, incarnation }) => {
      const { memberId, index } = core.registerServer(address, incarnation, address, nowMs());
      await keeper.keep();
      options.onServersChanged();
      return { memberId, serverIndex: index, coordinatorEpoch };
    }),
    Join: unary((request) => join(request)),
    ReportInitialized: unary(async ({ memberId }) => {
      core.reportInitialized(memberId, nowMs());
      await keeper.keep();
      return {};
    }),
    AcquireLease: unary(async ({ memberId }) => {
      const answer = core.acquireLease(memberId, nowMs());
      if (answer.kind === "lease") await storeLease(memberId, answer.lease.leaseId);
      const lease = leaseToWire(answer, nowMs());
      return { ...lease, command: command(memberId), schedule: schedule(), rollback: core.rollback };
    }),
    ReportBatches: unary(({ memberId, leaseId, epoch, batches }) => {
      const leaseValid = core.reportBatches(memberId, leaseId, epoch, batches.map(reportFromWire), nowMs());
      return { leaseValid, command: command(memberId), schedule: schedule() };
    }),
    ReturnLease: unary(({ memberId, leaseId }) => {
      core.returnLease(memberId, leaseId, nowMs());
      return {};
    }),
    Leave: unary(({ memberId, reason }) => {
      logger.info({ memberId, reason }, "member leaves");
      core.leave(memberId, nowMs());
      converger.setMembers(core.membership.clientIds());
      void monitor.closeRounds();
      return {};
    }),
    Heartbeat: unary((request) => heartbeat(request)),
    GetLayout: unary(({ memberId }) => {
      core.membership.heard(memberId, nowMs());
      const layout = keeper.storedLayout;
      if (layout === undefined) throw new DownpourError("unavailable", "there are no slices yet; ask again");
      const { revision, rollback } = layout;
      const serverAddresses = memberAddresses(layout, core.servers.addresses);
      return { revision, rollback, serverAddresses, slices: placedSlicesOf(layout) };
    }),
    NextEvaluation: unary(async ({ memberId, waitMs }) => {
      const endMs = nowMs() + Math.min(waitMs, evaluationWaitMaxMs);
      while (
        core.evaluations.due === undefined &&
        command(memberId) === "COMMAND_CONTINUE" &&
        nowMs() < endMs
      ) {
        await sleep(evaluationPollMs);
      }
      const { due } = core.evaluations;
      const evaluation = due === undefined ? null : evaluationToWire(due);
      return { evaluation, command: command(memberId), schedule: schedule() };
    }),
    ReportEvaluation: unary(async (request) => {
      const { memberId, evaluationId, scheduleRevision, validation, test, failure } = request;
      core.membership.heard(memberId, nowMs());
      if (failure !== "") {
        if (!core.evaluations.isOpen(evaluationId)) return { isBest: false };
        core.fail(`evaluation ${evaluationId} failed: ${failure}`, nowMs());
        return { isBest: false };
      }
      if (validation === null)
        throw new DownpourError("invalidArgument", "the report has no validation figures");
      const { loss, accuracy } = validation;
      const isBest = core.reportValidation({ evaluationId, scheduleRevision, loss, accuracy }, nowMs());
      if (test !== null) {
        const { modelDirectory, updateCountMin, updateCountMax } = request;
        await monitor.poll(true);
        const figures = { testLoss: test.loss, testAccuracy: test.accuracy };
        // The last weights are on disk, too, before the servers go.
        await options.checkpoints.finish();
        core.reportFinal({ ...figures, modelDirectory, updateCountMin, updateCountMax }, nowMs());
      }
      await keeper.keepSoon();
      return { isBest };
    }),
    Watch: (stream) => {
      const unsubscribe = options.events.subscribe(
        ({ sequence, event: { timeMs, event: told } }) => {
          // In NATS an earlier run may have left its end.
          const event = isFinal(core.lifecycle) ? told : withoutEnd(told);
          const flowing = stream.write({ sequence, timeMs, json: JSON.stringify(event) });
          if (event.type === "ended") {
            unsubscribe();
            stream.end();
            return undefined;
          }
          // A watcher that reads slowly gets the next event when it has read this one.
          return flowing ? undefined : new Promise<void>((resolve) => stream.once("drain", resolve));
        },
        { fromSequence: stream.request.afterSequence + 1 },
      );
      stream.on("cancelled", unsubscribe);
      stream.on("close", unsubscribe);
    },
    ...controlHandlers(options.commands),
    Checkpoint: unary(() => options.checkpoints.write("command")),
  };

  /** A lease that a later coordinator does not know would be given twice. */
  async function storeLease(memberId: string, leaseId: number): Promise<void> {
    try {
      await keeper.keep();
    } catch (error) {
      // The worker never hears of it.
      core.ledger?.giveBack(memberId, leaseId);
      throw error;
    }
  }

  async function heartbeat({ memberId, replicas }: HeartbeatRequest): Promise<HeartbeatResponseInput> {
    const told = command(memberId);
    if (replicas.length > 0) {
      const before = core.layout;
      core.takeReplicaNotes(memberId, replicaNotesFromWire(replicas));
      if (core.layout !== before) options.onServersChanged();
    }
    const layoutRevision = keeper.storedLayout?.revision ?? 0;
    return { command: told, schedule: schedule(), coordinatorEpoch, layoutRevision };
  }

  async function join(request: JoinRequest): Promise<JoinResponseInput> {
    const role = roleFromWire(request.role);
    const manifest = manifestFromWire(request.manifest);
    if (request.data === null) throw new DownpourError("invalidArgument", "the request names no data set");
    core.admit(manifest, request.data, nowMs());
    const { requestTimeoutMs } = core.job.cluster;
    await keeper.keep();
    converger.wake();
    // Before it is one of the members: they are told of each other only when all servers know their slices.
    await converger.settled(requestTimeoutMs);
    core.goOn(nowMs());
    const { memberId } = core.join(role, request.name, request.incarnation, nowMs());
    await keeper.keep();
    converger.setMembers(core.membership.clientIds());
    await converger.settled(requestTimeoutMs);
    const layout = keeper.storedLayout;
    if (layout === undefined) throw new DownpourError("internal", "a member joined a job without slices");
    logger.info({ memberId, name: request.name }, "member joined");
    return {
      memberId,
      coordinatorEpoch,
      serverAddresses: memberAddresses(layout, core.servers.addresses),
      slices: placedSlicesOf(layout),
      initialized: core.initialized,
      schedule: schedule(),
      layoutRevision: layout.revision,
      rollback: layout.rollback,
    };
  }
}
