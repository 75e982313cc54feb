import { codeOf, DownpourError } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import {
  answering,
  okStatus,
  type ParameterServerHandlers,
  type ReplicateRequest,
  type ReplicateResponseInput,
  toMessageStatus,
} from "@downpour/protocol";
import type { ParameterStore } from "./parameter-store.ts";
import type { ReplicaRefusal } from "./replica-messages.ts";
import { messageFromWire } from "./replica-wire.ts";

/**
 * The stream of a primary's log. Messages are taken in their order; while one is being applied the next is taken.
 */
export function replicateHandler(
  store: ParameterStore,
  logger: Logger,
): ParameterServerHandlers["Replicate"] {
  return (stream) => {
    let turn: Promise<unknown> = Promise.resolve();
    const take = (request: ReplicateRequest) => {
      const taken = turn.then(() => store.replicate(request.manifestFingerprint, messageFromWire(request)));
      turn = taken.catch(() => undefined);
      return answer(store, request.sequence, taken, logger);
    };
    const onMisbehaviour = (reason: string, error: DownpourError) => {
      store.counters.countRefusal(error.code);
      logger.warn({ reason }, `stream refused: ${error.message}`);
    };
    answering(take, { onMisbehaviour })(stream);
  };
}

async function answer(
  store: ParameterStore,
  sequence: number,
  taken: Promise<{ readonly done: Promise<readonly ReplicaRefusal[]> }>,
  logger: Logger,
): Promise<ReplicateResponseInput> {
  try {
    const refusals = await (await taken).done;
    return {
      sequence,
      status: okStatus,
      refusals: refusals.map(({ sliceIndex, code, message }) => {
        store.counters.countRefusal(code);
        logger.warn({ sliceIndex, code }, `replica refused: ${message}`);
        return { sliceIndex, status: toMessageStatus(new DownpourError(code, message)) };
      }),
    };
  } catch (error) {
    store.counters.countRefusal(codeOf(error));
    const status = toMessageStatus(error);
    logger.warn({ reason: status.reason }, `replication refused: ${status.message}`);
    return { sequence, status };
  }
}
