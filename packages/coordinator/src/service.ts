import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { manifestFromWire } from "@downpour/parameter-vector";
import {
  type CoordinatorHandlers,
  type JobEvent,
  type JoinRequest,
  type JoinResponseInput,
  unary,
} from "@downpour/protocol";
import { controlHandlers } from "./control-handlers.ts";
import type { CoordinatorCore } from "./coordinator-core.ts";
import type { EventBus } from "./event-bus.ts";
import type { JobCommands } from "./job-commands.ts";
import { coordinatorEpoch, type ServerLinks } from "./server-links.ts";
import type { ServerMonitor } from "./server-monitor.ts";
import {
  commandToWire,
  evaluationToWire,
  leaseToWire,
  reportFromWire,
  roleFromWire,
  scheduleToWire,
} from "./wire.ts";

/** An event with the time at which the coordinator made it. */
export interface TimedEvent {
  readonly timeMs: number;
  readonly event: JobEvent;
}

export interface CoordinatorServiceOptions {
  readonly core: CoordinatorCore;
  readonly servers: ServerLinks;
  readonly monitor: ServerMonitor;
  readonly commands: JobCommands;
  readonly events: EventBus<TimedEvent>;
  readonly runDirectory: string;
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
  const { core, servers, monitor, logger, nowMs, commands } = options;
  const schedule = () => scheduleToWire(core.schedule);
  const command = (memberId: string) => commandToWire(core.command(memberId, nowMs()));
  return {
    GetJob: unary(() => ({
      jobJson: JSON.stringify(core.job),
      coordinatorEpoch,
      runDirectory: options.runDirectory,
    })),
    RegisterServer: unary(({ address, incarnation }) => {
      const { memberId, index } = core.registerServer(address, incarnation, address, nowMs());
      servers.connect(index, address);
      return { memberId, serverIndex: index, coordinatorEpoch };
    }),
    Join: unary((request) => join(request)),
    ReportInitialized: unary(({ memberId }) => {
      core.reportInitialized(memberId, nowMs());
      return {};
    }),
    AcquireLease: unary(({ memberId }) => {
      const now = nowMs();
      const answer = leaseToWire(core.acquireLease(memberId, now), now);
      return { ...answer, command: command(memberId), schedule: schedule() };
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
      servers.announceMembers(core.membership.clientIds());
      void monitor.closeRounds();
      return {};
    }),
    Heartbeat: unary(({ memberId }) => ({
      command: command(memberId),
      schedule: schedule(),
      coordinatorEpoch,
    })),
    GetLayout: unary(() => {
      throw new DownpourError("internal", "layouts are not there yet");
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
        core.reportFinal({ ...figures, modelDirectory, updateCountMin, updateCountMax }, nowMs());
      }
      return { isBest };
    }),
    Watch: (stream) => {
      const unsubscribe = options.events.subscribe(
        ({ sequence, event: { timeMs, event } }) => {
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
    ...controlHandlers(commands),
  };

  async function join(request: JoinRequest): Promise<JoinResponseInput> {
    const role = roleFromWire(request.role);
    const manifest = manifestFromWire(request.manifest);
    if (request.data === null) throw new DownpourError("invalidArgument", "the request names no data set");
    const layout = core.admit(manifest, request.data);
    await servers.assign(layout, core.ledger?.batchesPerEpoch ?? 0);
    const { memberId } = core.join(role, request.name, request.incarnation, nowMs());
    await servers.setMembers(core.membership.clientIds());
    logger.info({ memberId, name: request.name }, "member joined");
    return {
      memberId,
      coordinatorEpoch,
      serverAddresses: [...servers.addresses],
      slices: [...layout.slices],
      initialized: core.initialized,
      schedule: schedule(),
    };
  }
}
