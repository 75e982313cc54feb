import type { ErrorCode } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { ToldRefusals } from "@downpour/protocol";
import type { Counters } from "./counters.ts";

/** A request that was refused. */
export interface RefusedRequest {
  readonly rpc: string;
  /** Who asked: a member, a coordinator by its epoch, or the primary of a slice. */
  readonly from: string | number;
  readonly code: ErrorCode;
  readonly message: string;
}

/**
 * Counts requests that a server refuses, and logs the first of each RPC, caller and code: one that tries again each
 * second does not fill a log.
 */
export class RefusalLog {
  readonly #counters: Counters;
  readonly #logger: Logger;
  readonly #told = new ToldRefusals();

  constructor(counters: Counters, logger: Logger) {
    this.#counters = counters;
    this.#logger = logger;
  }

  refused({ rpc, from, code, message }: RefusedRequest): void {
    this.#counters.countRefusal(code);
    if (!this.#told.isNew(`${rpc} ${from} ${code}`)) return;
    this.#logger.warn({ rpc, from, reason: code }, `refused a request: ${message}`);
  }

  /** A push id came again; it was acknowledged and not applied, which the store has counted. */
  replayed(memberId: string, pushId: object | null): void {
    if (!this.#told.isNew(`replayed ${memberId}`)) return;
    this.#logger.info({ memberId, pushId }, "a push id came again: acknowledged, and not applied");
  }
}
