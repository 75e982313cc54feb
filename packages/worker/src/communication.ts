import type { MessagePort } from "node:worker_threads";
import type { ErrorCode } from "@downpour/errors";
import type { MetricsAddress } from "@downpour/metrics";
import type { IdentityFiles } from "@downpour/protocol";

/** What the main thread hands to the communication thread. */
export interface CommunicationInput {
  readonly role: "worker" | "evaluator";
  readonly coordinatorAddress: string;
  readonly connectTimeoutMs: number;
  readonly logFile: string | undefined;
  /** Certificates and join token of the cluster; plain text when left out. */
  readonly identity: IdentityFiles | undefined;
  /** Where metrics and health are shown; nowhere when undefined. */
  readonly metrics: MetricsAddress | undefined;
  /** Calls to compute on the main thread. */
  readonly computePort: MessagePort;
}

/** How the communication thread ended. */
export type CommunicationEnd =
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly message: string };

/** All that the main thread ever says to the communication thread. */
export const stopMessage = "stop";
