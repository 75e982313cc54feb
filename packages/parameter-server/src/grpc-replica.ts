import { type ErrorCode, errorCodes } from "@downpour/errors";
import {
  connectParameterServer,
  type Identity,
  type ReplicateRequestInput,
  type ReplicateResponse,
  SequencedStream,
  type services,
  throwUnlessOk,
} from "@downpour/protocol";
import type { ConnectReplica, ReplicaRefusal } from "./replica-messages.ts";
import { messageToWire } from "./replica-wire.ts";

export interface GrpcReplicaOptions {
  /** What is shown to the other server, and asked of it. */
  readonly identity: Identity;
  /** A message that is not answered within it fails, and the stream with it. */
  readonly timeoutMs: number;
  /** Of the manifest in force. */
  readonly manifestFingerprint: () => string;
}

/** Connections to servers that keep replicas: one stream each, apart from those of workers. */
export function grpcReplicas({
  identity,
  timeoutMs,
  manifestFingerprint,
}: GrpcReplicaOptions): ConnectReplica {
  return (address) => {
    const caller = connectParameterServer(address, timeoutMs, identity);
    const client = caller.client as InstanceType<typeof services.ParameterServer>;
    const what = `Replicate to server ${address}`;
    const stream = new SequencedStream<ReplicateRequestInput, ReplicateResponse>(
      () => client.replicate(),
      what,
      timeoutMs,
    );
    return {
      async send(message) {
        let refusals: ReplicaRefusal[] = [];
        await stream.request(messageToWire(manifestFingerprint(), message), (response) => {
          throwUnlessOk(response.status, what);
          refusals = response.refusals.map(refusalFromWire);
          return true;
        });
        return refusals;
      },
      close() {
        stream.close();
        caller.close();
      },
    };
  };
}

function refusalFromWire({ sliceIndex, status }: ReplicateResponse["refusals"][number]): ReplicaRefusal {
  const code: ErrorCode = errorCodes.find((known) => known === status?.reason) ?? "internal";
  return { sliceIndex, code, message: status?.message ?? "" };
}
