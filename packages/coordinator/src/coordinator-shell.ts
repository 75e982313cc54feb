import { setTimeout as sleep } from "node:timers/promises";
import type { DownpourError } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import type { Identity, JobEvent } from "@downpour/protocol";
import { CheckpointWriter } from "./checkpoint-writer.ts";
import { Converger } from "./converger.ts";
import type { CoordinatorCore } from "./coordinator-core.ts";
import { type JobCommands, jobCommands } from "./job-commands.ts";
import type { JobStore } from "./job-store.ts";
import { isFinal } from "./lifecycle.ts";
import { Restorer } from "./restorer.ts";
import { ServerLinks } from "./server-links.ts";
import { ServerMonitor } from "./server-monitor.ts";
import { watchServers } from "./server-watch.ts";
import type { CoordinatorServiceOptions } from "./service.ts";
import { StateKeeper } from "./state-keeper.ts";

export interface CoordinatorShellOptions {
  readonly core: CoordinatorCore;
  readonly store: JobStore;
  /** Revision of the state that was there. */
  readonly stateRevision: number | undefined;
  readonly coordinatorEpoch: number;
  readonly checkpointFolder: string;
  readonly identity: Identity;
  readonly logger: Logger;
  readonly emit: (event: JobEvent) => void;
  readonly nowMs: () => number;
  /** Aborts when the job has ended. */
  readonly ended: AbortSignal;
  /** Ends everything at once. */
  readonly signal: AbortSignal;
}

/** The core gets the time so often, and state is stored as often. */
const tickMs = 1000;

/** After the job has ended, members get so long to hear of it and leave; longer, where heartbeats are far apart. */
const farewellMsMin = 2500;

/** A heartbeat may be so late. */
const heartbeatLateMs = 500;

/** What surrounds the core: time, the store, the servers, checkpoints. */
export class CoordinatorShell {
  readonly #options: CoordinatorShellOptions;
  readonly #links: ServerLinks;
  readonly #keeper: StateKeeper;
  readonly #converger: Converger;
  readonly #monitor: ServerMonitor;
  readonly #checkpoints: CheckpointWriter;
  readonly #restorer: Restorer;
  readonly #stopping = new AbortController();
  #following: Promise<unknown> = Promise.resolve();
  #deposed: DownpourError | undefined;

  constructor(options: CoordinatorShellOptions) {
    const { core, store, coordinatorEpoch, checkpointFolder, identity, logger, emit, nowMs } = options;
    this.#options = options;
    this.#links = new ServerLinks(coordinatorEpoch, core.job.cluster.requestTimeoutMs, logger, identity);
    this.#keeper = new StateKeeper({
      store,
      core,
      coordinatorEpoch,
      revision: options.stateRevision,
      logger,
      nowMs,
      onDeposed: (error) => {
        this.#deposed = error;
        this.#stopping.abort();
      },
    });
    this.#converger = new Converger(
      this.#links,
      {
        layout: () => this.#keeper.storedLayout,
        slots: () => core.servers.slots,
        batchesPerEpoch: () => core.ledger?.batchesPerEpoch ?? 0,
        onAssigned: (memberId, revision) => {
          core.servers.confirm(memberId, revision);
          core.goOn(nowMs());
          void this.#keeper.keepSoon();
        },
        onFailure: (message) => core.fail(message, nowMs()),
      },
      logger,
    );
    this.#monitor = new ServerMonitor(core, this.#links, logger, nowMs);
    this.#checkpoints = new CheckpointWriter({
      core,
      links: this.#links,
      converger: this.#converger,
      store: checkpointFolder,
      logger,
      nowMs,
      emit,
    });
    this.#restorer = new Restorer(core, checkpointFolder, logger, nowMs);
  }

  /** What people may ask of the job; all of it is stored soon. */
  get commands(): JobCommands {
    const { core, logger, nowMs } = this.#options;
    return jobCommands(core, {
      logger,
      nowMs,
      keepSoon: () => this.#keeper.keepSoon(),
      checkpoint: async () => void (await this.#checkpoints.write("command")),
    });
  }

  /** What the service of the coordinator works with. */
  get service(): Omit<
    CoordinatorServiceOptions,
    "events" | "runDirectory" | "checkpointStore" | "checkpointProbe"
  > {
    const { core, coordinatorEpoch, logger, nowMs } = this.#options;
    return {
      core,
      coordinatorEpoch,
      keeper: this.#keeper,
      converger: this.#converger,
      checkpoints: this.#checkpoints,
      commands: this.commands,
      monitor: this.#monitor,
      onServersChanged: () => void this.#serversChanged(),
      logger,
      nowMs,
    };
  }

  /** Another coordinator has taken over. */
  get isDeposed(): boolean {
    return this.#deposed !== undefined;
  }

  /** Stores that this coordinator leads, and begins to follow the servers. @throws what the store says */
  async start(): Promise<void> {
    const { core, nowMs, ended, signal, logger } = this.#options;
    await this.#keeper.keep();
    const stop = AbortSignal.any([signal, ended, this.#stopping.signal]);
    this.#following = Promise.all([
      this.#monitor.run(stop),
      watchServers(
        {
          links: this.#links,
          nowMs,
          lastHeardMs: (memberId) => core.membership.get(memberId)?.lastHeardMs,
          onGone: (memberId) => {
            logger.warn({ memberId }, "a server refuses connections, and is taken for dead");
            core.loseServer(memberId, nowMs());
            void this.#serversChanged();
          },
        },
        stop,
      ),
    ]);
    this.#converger.setMembers(core.membership.clientIds());
    this.#converger.wake();
  }

  /** Lets time pass until the job has ended and everybody has heard of it. @throws fenced: another has taken over */
  async run(): Promise<void> {
    const { core, nowMs, ended, signal } = this.#options;
    const stop = AbortSignal.any([signal, ended, this.#stopping.signal]);
    while (!isFinal(core.lifecycle) && !signal.aborted && this.#deposed === undefined) {
      await sleep(tickMs, undefined, { signal: stop }).catch(() => undefined);
      core.tick(nowMs());
      void this.#monitor.closeRounds();
      this.#checkpoints.tick();
      await this.#serversChanged();
    }
    if (this.#deposed !== undefined) throw this.#deposed;
    await this.#farewell();
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    this.#converger.close();
    this.#links.close();
    await this.#following;
    if (this.#deposed === undefined) await this.#keeper.keepSoon();
  }

  /** Stores what has become of servers and slices, tells the servers, and does what follows from it. */
  async #serversChanged(): Promise<void> {
    const { core } = this.#options;
    // Servers must know of the layout as it is before they hear of another replica.
    if (core.layout?.revision === this.#keeper.storedLayout?.revision) {
      core.servers.placeReplicas(this.#converger.ready());
    }
    await this.#keeper.keepSoon();
    this.#converger.setMembers(core.membership.clientIds());
    this.#converger.wake();
    // Reading a checkpoint takes its time.
    void this.#restoreLost();
  }

  async #restoreLost(): Promise<void> {
    if (!(await this.#restorer.restore())) return;
    await this.#keeper.keepSoon();
    this.#converger.wake();
  }

  /** Members learn of the end from their next heartbeat. */
  async #farewell(): Promise<void> {
    const { core, nowMs, signal } = this.#options;
    const heardMs = core.job.cluster.heartbeatIntervalMs + heartbeatLateMs;
    const endMs = nowMs() + Math.max(farewellMsMin, heardMs);
    while (!signal.aborted && nowMs() < endMs && core.membership.clientIds().length > 0) {
      await sleep(50);
    }
    // Servers do not leave, they only listen: one more heartbeat interval, and all have heard.
    if (!signal.aborted) await sleep(heardMs, undefined, { signal }).catch(() => undefined);
  }
}
