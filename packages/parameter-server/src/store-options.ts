import type { Job } from "@downpour/job";
import type { ServerBounds } from "./bounds.ts";
import type { MakeExecutor } from "./executor.ts";
import type { After } from "./gate-keeper.ts";
import type { ReadCheckpoint } from "./holdings.ts";
import type { ConnectReplica } from "./replica-messages.ts";

/** What a parameter store is made of: the job, and its ports. */
export interface StoreOptions {
  readonly job: Job;
  readonly makeExecutor: MakeExecutor;
  readonly bounds?: Partial<ServerBounds>;
  /** Calls back later: for the longest waits. Left out: such a wait has no end of its own. */
  readonly after?: After;
  /** An apply thread crashed, or a command of nobody's request failed: the server can't go on. */
  readonly onFailure?: (error: Error) => void;
  /** Connects to servers that keep replicas. Left out: there are none. */
  readonly connectReplica?: ConnectReplica;
  /** What `replicaReports` says has changed. */
  readonly onReplicasChanged?: () => void;
  /** Reads checkpoints. Left out: slices can't be restored. */
  readonly readCheckpoint?: ReadCheckpoint;
}
