import { randomUUID } from "node:crypto";
import { findProbe, placeProbe, removeProbe } from "@downpour/checkpoint";

/** The folder of checkpoints, and the nonce of the probe that the coordinator placed in it; empty for none. */
export interface ProbedStore {
  readonly checkpointStore: string;
  readonly checkpointProbe: string;
}

/**
 * Tries out whether this machine sees the coordinator's folder of checkpoints, and may write there.
 * @throws failedPrecondition, notFound: it is not the same folder, or not there; environment, resourceExhausted: it
 *   can't be written
 */
export async function tryStore({ checkpointStore, checkpointProbe }: ProbedStore): Promise<void> {
  if (checkpointProbe === "") return;
  await findProbe(checkpointStore, checkpointProbe);
  const own = randomUUID();
  await placeProbe(checkpointStore, own);
  await removeProbe(checkpointStore, own);
}
