import { codeOf, DownpourError } from "@downpour/errors";
import {
  answering,
  okStatus,
  type ParameterServerHandlers,
  type ReplicateRequest,
  type ReplicateResponseInput,
  toMessageStatus,
} from "@downpour/protocol";
import type { ParameterStore } from "./parameter-store.ts";
import type { RefusalLog } from "./refusal-log.ts";
import type { ReplicaRefusal } from "./replica-messages.ts";
import { messageFromWire } from "./replica-wire.ts";

const rpc = "Replicate";

/**
 * The stream of a primary's log. Messages are taken in their order; while one is being applied the next is taken.
 */
export function replicateHandler(
  store: ParameterStore,
  refusals: RefusalLog,
): ParameterServerHandlers["Replicate"] {
  return (stream) => {
    let turn: Promise<unknown> = Promise.resolve();
    const take = (request: ReplicateRequest) => {
      const taken = turn.then(() => store.replicate(request.manifestFingerprint, messageFromWire(request)));
      turn = taken.catch(() => undefined);
      return answer(request.sequence, taken, refusals);
    };
    const onMisbehaviour = (_reason: string, { code, message }: DownpourError) => {
      refusals.refused({ rpc, from: "a primary", code, message });
    };
    answering(take, { onMisbehaviour })(stream);
  };
}

async function answer(
  sequence: number,
  taken: Promise<{ readonly done: Promise<readonly ReplicaRefusal[]> }>,
  refusals: RefusalLog,
): Promise<ReplicateResponseInput> {
  try {
    const refused = await (await taken).done;
    return {
      sequence,
      status: okStatus,
      refusals: refused.map(({ sliceIndex, code, message }) => {
        refusals.refused({ rpc, from: `the primary of slice ${sliceIndex}`, code, message });
        return { sliceIndex, status: toMessageStatus(new DownpourError(code, message)) };
      }),
    };
  } catch (error) {
    const status = toMessageStatus(error);
    refusals.refused({ rpc, from: "a primary", code: codeOf(error), message: status.message });
    return { sequence, status };
  }
}
