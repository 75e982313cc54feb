import { messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { manifestToWire } from "@downpour/parameter-vector";
import {
  connectParameterServer,
  type GetServerStatusResponse,
  type Identity,
  type ParameterServerCaller,
} from "@downpour/protocol";
import type { ClusterLayout } from "./cluster-layout.ts";

/** Generation of the coordinator; fixed until another one can take over. */
export const coordinatorEpoch = 1;

/** A server that does not say in so long how it does is left out of the figures. */
const statusTimeoutMs = 2000;

/** The coordinator's connections to the parameter servers, for its commands. */
export class ServerLinks {
  readonly #callers: ParameterServerCaller[] = [];
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  readonly #identity: Identity;
  #assigned: Promise<void> | undefined;
  #membersRevision = 0;

  constructor(timeoutMs: number, logger: Logger, identity: Identity = {}) {
    this.#timeoutMs = timeoutMs;
    this.#logger = logger;
    this.#identity = identity;
  }

  get addresses(): readonly string[] {
    return this.#callers.map((caller) => caller.address);
  }

  /** Connects to the server of this index; again is no error. */
  connect(index: number, address: string): void {
    this.#callers[index] ??= connectParameterServer(address, this.#timeoutMs, this.#identity);
  }

  /** Gives every server its slices, once. A failed attempt is made again at the next call. */
  assign(layout: ClusterLayout, batchesPerEpoch: number): Promise<void> {
    this.#assigned ??= this.#assignAll(layout, batchesPerEpoch).catch((error: unknown) => {
      this.#assigned = undefined;
      throw error;
    });
    return this.#assigned;
  }

  /** Tells every server who may push and pull now. */
  async setMembers(memberIds: readonly string[]): Promise<void> {
    const revision = ++this.#membersRevision;
    const request = { coordinatorEpoch, revision, memberIds: [...memberIds] };
    await Promise.all(this.#callers.map((caller) => caller.call("SetMembers", request)));
  }

  /** As {@link setMembers}, without waiting: who is gone is taken off the lists when servers hear of it. */
  announceMembers(memberIds: readonly string[]): void {
    this.setMembers(memberIds).catch((error: unknown) => {
      this.#logger.warn({ err: error }, `a server did not hear of a change of members: ${messageOf(error)}`);
    });
  }

  /** Makes every server apply what rounds and n-softsync hold back. @throws the first failure */
  async closeRounds(): Promise<void> {
    await Promise.all(this.#callers.map((caller) => caller.call("CloseRounds", { coordinatorEpoch })));
  }

  /** What each server says of itself, in the order of their indices; undefined for one that does not answer in time. */
  status(): Promise<(GetServerStatusResponse | undefined)[]> {
    const calls = this.#callers.map(async (caller) => {
      try {
        return await caller.call("GetServerStatus", {}, statusTimeoutMs);
      } catch (error) {
        this.#logger.warn(
          { err: error },
          `no figures of the server at ${caller.address}: ${messageOf(error)}`,
        );
        return undefined;
      }
    });
    return Promise.all(calls);
  }

  close(): void {
    for (const caller of this.#callers) caller.close();
  }

  async #assignAll(layout: ClusterLayout, batchesPerEpoch: number): Promise<void> {
    const manifest = manifestToWire(layout.manifest);
    const calls = this.#callers.map((caller, serverIndex) => {
      const slices = layout.slices
        .filter((placed) => placed.serverIndex === serverIndex)
        .map((placed) => placed.slice);
      return caller.call("Assign", { coordinatorEpoch, manifest, slices, batchesPerEpoch });
    });
    await Promise.all(calls);
  }
}
