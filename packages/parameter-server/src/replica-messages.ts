import type { StepSize } from "@downpour/checkpoint";
import type { ErrorCode } from "@downpour/errors";
import type { PushCodec } from "@downpour/tensor-kernels";
import type { NormsByTensor } from "./commands.ts";
import type { SliceFacts } from "./slice.ts";

/** A step of a primary, without its payload: with the same state before it, it gives the same bits after it. */
export type ReplicatedStep =
  | {
      readonly kind: "gradient";
      readonly memberId: string;
      readonly epoch: number;
      readonly batch: number;
      /** The count that staleness is measured from. */
      readonly base: number;
      readonly codec: PushCodec["name"];
      readonly learningRate: number;
      readonly momentum: number;
      readonly norms: NormsByTensor | undefined;
    }
  /** What waited became an update; `round` is the one that this ended, 0 where there are none. */
  | { readonly kind: "close"; readonly momentum: number; readonly round: number }
  /** A member got the version in force; `kept`: as far as a copy was needed there was room. */
  | { readonly kind: "pulled"; readonly memberId: string; readonly kept: boolean }
  /** A member left the job. */
  | { readonly kind: "left"; readonly memberId: string };

/** A step in its place in the log. */
export interface LogEntry {
  readonly sliceIndex: number;
  readonly term: number;
  /** The fill that it continues, and its place behind it, from 1. */
  readonly fill: number;
  readonly index: number;
  readonly step: ReplicatedStep;
  readonly payload: Uint8Array;
}

/** What a fill says beside arrays. */
export interface FillFacts extends SliceFacts {
  readonly stepSize: StepSize;
  /** The open round; 0 where there are none. */
  readonly round: number;
}

/** One array of a slice's state, in the order of `stateOffsets`. */
export interface FillPiece {
  readonly sliceIndex: number;
  readonly term: number;
  readonly fill: number;
  readonly piece: number;
  readonly pieces: number;
  /** With the first piece. */
  readonly facts: FillFacts | undefined;
  readonly data: Uint8Array;
}

/** One message to a replica's server. */
export interface ReplicaMessage {
  readonly fills: readonly FillPiece[];
  readonly entries: readonly LogEntry[];
}

/** A slice of a message that was refused: nothing from its first bad entry on is applied. */
export interface ReplicaRefusal {
  readonly sliceIndex: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/** The way to one server that keeps replicas. */
export interface ReplicaConnection {
  /**
   * Sends a message behind all before it. The buffers are the connection's until it is answered.
   * @returns what was refused, when the rest is applied
   * @throws the reason for which nothing of it was, or the connection is lost
   */
  send(message: ReplicaMessage): Promise<readonly ReplicaRefusal[]>;
  /** What waits fails. */
  close(): void;
}

/** Opens a connection on first use. */
export type ConnectReplica = (address: string) => ReplicaConnection;
