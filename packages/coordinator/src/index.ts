export {
  type EventBus,
  InProcessEventBus,
  type InProcessEventBusOptions,
} from "./event-bus.ts";
export type { EventListener, Sequenced, SubscribeOptions } from "./event-log.ts";
export {
  type DeleteResult,
  type JobStore,
  type PutResult,
  type StoreConflict,
  type StoreEntry,
  storeValueBytesMax,
} from "./job-store.ts";
export {
  type AcquireResult,
  LeaderLock,
  type LeaderLockOptions,
  type RenewResult,
} from "./leader-lock.ts";
export { awaitLeadership, keepLeadership, type LeadershipOptions } from "./leadership.ts";
export { LmdbJobStore } from "./lmdb-store.ts";
export { type CoordinatorOptions, runCoordinator } from "./run-coordinator.ts";
