import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Job } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import type { Identity } from "@downpour/protocol";
import { type EventBus, InProcessEventBus } from "./event-bus.ts";
import { readEventHistory, type TimedEvent, withoutEnd } from "./event-history.ts";
import type { JobStore } from "./job-store.ts";
import { LeaderLock } from "./leader-lock.ts";
import { awaitLeadership, keepLeadership } from "./leadership.ts";
import { LmdbJobStore } from "./lmdb-store.ts";

export interface StatePlaceOptions {
  readonly job: Job;
  readonly runDirectory: string;
  readonly identity: Identity;
  readonly logger: Logger;
}

/** Where state and events of a job are kept, and who of several coordinators may write them. */
export interface StatePlace {
  /** For people. */
  readonly name: string;
  readonly store: JobStore;
  /**
   * Waits until this process may lead. Returns the coordinator epoch that follows from a lock; undefined where there is
   * none, and the epoch is one more than the stored one.
   */
  lead(signal: AbortSignal): Promise<number | undefined>;
  /** Keeps the right to lead until the signal aborts. @throws failedPrecondition: another has taken over */
  keepLeading(signal: AbortSignal): Promise<void>;
  /** Whether this process may answer anybody now. */
  readonly leads: () => boolean;
  /** `earlierCount`: events of the run directory's file that the bus does not have any more. */
  openEvents(): Promise<{ readonly events: EventBus<TimedEvent>; readonly earlierCount: number }>;
}

/** Events that a watcher who comes late can still get. */
const historyMax = 10_000;

/** The state in the run directory: the file system's lock of LMDB and the stored epoch are all there is to agree on. */
export function openEmbeddedState({ runDirectory }: StatePlaceOptions): StatePlace {
  return {
    name: runDirectory,
    store: LmdbJobStore.open(join(runDirectory, "state")),
    lead: () => Promise.resolve(undefined),
    keepLeading: () => Promise.resolve(),
    leads: () => true,
    openEvents: () => {
      const { count, latest } = readEventHistory(join(runDirectory, "events.jsonl"), historyMax);
      const bus = new InProcessEventBus<TimedEvent>({ historyMax, firstSequence: count - latest.length + 1 });
      for (const { timeMs, event } of latest) bus.publish({ timeMs, event: withoutEnd(event) });
      return Promise.resolve({ events: bus, earlierCount: count - latest.length });
    },
  };
}

/** The state in NATS JetStream, where a standby can take over from. */
export async function openNatsState(options: StatePlaceOptions): Promise<StatePlace> {
  const { job, logger, identity } = options;
  // Only those who ask for NATS load it.
  const { NatsJobStore } = await import("./nats-job-store.ts");
  const { NatsEventBus } = await import("./nats-event-bus.ts");
  const { servers, replicas } = job.cluster.nats;
  const tls = identity.tls === undefined ? {} : { tls: identity.tls };
  // The cluster's token opens its NATS, too; one that asks for none takes it all the same. Never in plain text.
  const secret = identity.tls === undefined ? undefined : identity.token?.toSecret();
  const nats = { servers, replicas, ...tls, ...(secret === undefined ? {} : { token: secret }) };
  const store = await NatsJobStore.open(job.name, nats);
  const lock = new LeaderLock({
    store,
    holder: `${hostname()}/${process.pid}`,
    token: randomUUID(),
    nowMs: () => performance.now(),
  });
  const onTrouble = (error: unknown) => logger.warn({ err: error }, "NATS is in trouble");
  return {
    name: `NATS at ${servers.join(", ")}, job ${job.name}`,
    store,
    lead: async (signal) => {
      logger.info({ servers }, "waiting to lead");
      const epoch = await awaitLeadership(lock, { signal, onTrouble });
      logger.info({ epoch }, "leads");
      return epoch;
    },
    keepLeading: (signal) => keepLeadership(lock, { signal, onTrouble }),
    leads: () => lock.epoch !== undefined,
    openEvents: async () => ({
      events: await NatsEventBus.open<TimedEvent>(job.name, {
        ...nats,
        historyMax,
        typeOf: ({ event }) => event.type,
        onTrouble,
      }),
      // Other coordinators have written to files of their own.
      earlierCount: 0,
    }),
  };
}
