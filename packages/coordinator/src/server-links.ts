import { messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import {
  connectParameterServer,
  type GetServerStatusResponse,
  type Identity,
  type ParameterServerCaller,
} from "@downpour/protocol";
import type { ServerSlot } from "./server-control.ts";

/** A server that does not say in so long how it does is left out of the figures. */
const statusTimeoutMs = 2000;

/** A connection to the server of a slot. */
export interface ServerLink {
  readonly memberId: string;
  readonly caller: ParameterServerCaller;
}

/** The coordinator's connections to the parameter servers, by slot. */
export class ServerLinks {
  readonly coordinatorEpoch: number;
  readonly #links: (ServerLink | undefined)[] = [];
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  readonly #identity: Identity;

  constructor(coordinatorEpoch: number, timeoutMs: number, logger: Logger, identity: Identity = {}) {
    this.coordinatorEpoch = coordinatorEpoch;
    this.#timeoutMs = timeoutMs;
    this.#logger = logger;
    this.#identity = identity;
  }

  /** Connects to the servers that are in the slots now; ends connections to others. */
  follow(slots: readonly (ServerSlot | null)[]): void {
    for (const [index, slot] of slots.entries()) {
      const link = this.#links[index];
      if (link?.memberId === slot?.memberId) continue;
      link?.caller.close();
      this.#links[index] =
        slot === null
          ? undefined
          : {
              memberId: slot.memberId,
              caller: connectParameterServer(slot.address, this.#timeoutMs, this.#identity),
            };
    }
  }

  at(index: number): ServerLink | undefined {
    return this.#links[index];
  }

  get all(): readonly ServerLink[] {
    return this.#links.filter((link) => link !== undefined);
  }

  /** Makes every server apply what rounds and n-softsync hold back. @throws the first failure */
  async closeRounds(): Promise<void> {
    const { coordinatorEpoch } = this;
    await Promise.all(this.all.map(({ caller }) => caller.call("CloseRounds", { coordinatorEpoch })));
  }

  /** What each server says of itself, by member; undefined for one that does not answer in time. */
  async status(): Promise<ReadonlyMap<string, GetServerStatusResponse | undefined>> {
    const answers = this.all.map(async ({ memberId, caller }) => {
      try {
        return [memberId, await caller.call("GetServerStatus", {}, statusTimeoutMs)] as const;
      } catch (error) {
        this.#logger.warn(
          { err: error },
          `no figures of the server at ${caller.address}: ${messageOf(error)}`,
        );
        return [memberId, undefined] as const;
      }
    });
    return new Map(await Promise.all(answers));
  }

  close(): void {
    for (const { caller } of this.all) caller.close();
  }
}
