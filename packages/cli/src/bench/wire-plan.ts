import type { Job } from "@downpour/job";

/** What `downpour bench wire` measures. */
export interface WirePlan {
  /** Size of the parameter vector in float32. */
  readonly mebibytes: number;
  readonly pushCodec: Job["wire"]["push"]["codec"];
  readonly pullCodec: Job["wire"]["pull"];
  /** Whether the same is measured over mutual TLS, too. */
  readonly tls: boolean;
  readonly rounds: number;
  /** Pushes and pulls that count, in a round. */
  readonly steps: number;
}

/** Pushes and pulls before those that count. */
export const warmupSteps = 3;

/** The member that the client is. */
export const wireMember = "bench-worker";

/** Where everything listens and connects. */
export const loopback = "127.0.0.1";

export function bytesOfVector(mebibytes: number): number {
  return mebibytes * 1024 * 1024;
}
