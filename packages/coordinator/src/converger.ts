import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError, messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { manifestToWire } from "@downpour/parameter-vector";
import { isTransient } from "@downpour/protocol";
import type { ClusterLayout } from "./cluster-layout.ts";
import { assignmentOf } from "./layout-view.ts";
import type { ServerSlot } from "./server-control.ts";
import type { ServerLink, ServerLinks } from "./server-links.ts";

/** Pause after a server did not take an assignment. */
const retryPauseMs = 200;

/** A server that can't take its slices from a checkpoint is asked so often; then the job fails. */
const restoreAttemptsMax = 3;

/** What the converger needs to know, and whom it tells. */
export interface ConvergerPort {
  /** As it was stored; nobody hears of another. */
  readonly layout: () => ClusterLayout | undefined;
  readonly slots: () => readonly (ServerSlot | null)[];
  readonly batchesPerEpoch: () => number;
  /** A server is as the layout of this revision has it. */
  readonly onAssigned: (memberId: string, revision: number) => void;
  /** A server can't be made so, for people. */
  readonly onFailure: (message: string) => void;
}

/** What a server is known to have heard. */
interface Heard {
  memberId: string;
  layoutRevision: number;
  membersRevision: number;
  failure: unknown;
}

/**
 * Brings each server to what the layout and the list of members say: it sends, retries until the server has
 * acknowledged, and sends again when either changes. One request per server is under way at a time. To send the same
 * again changes nothing at a server.
 */
export class Converger {
  readonly #links: ServerLinks;
  readonly #port: ConvergerPort;
  readonly #logger: Logger;
  readonly #heard: Heard[] = [];
  readonly #running = new Set<number>();
  #members: { readonly revision: number; readonly memberIds: readonly string[] } = {
    revision: 0,
    memberIds: [],
  };
  #waiting: (() => void)[] = [];
  #closed = false;

  constructor(links: ServerLinks, port: ConvergerPort, logger: Logger) {
    this.#links = links;
    this.#port = port;
    this.#logger = logger;
  }

  /** Something may have changed: who is in the slots, or the layout. */
  wake(): void {
    if (this.#closed) return;
    this.#links.follow(this.#port.slots());
    for (const index of this.#port.slots().keys()) void this.#converge(index);
    this.#resume();
  }

  /** Who may push and pull from now on. */
  setMembers(memberIds: readonly string[]): void {
    const { revision, memberIds: before } = this.#members;
    if (revision > 0 && memberIds.length === before.length && memberIds.every((id, i) => id === before[i]))
      return;
    this.#members = { revision: revision + 1, memberIds };
    this.wake();
  }

  /** By slot: whether the server there has acknowledged the layout and the members. */
  ready(): boolean[] {
    return this.#port.slots().map((slot, index) => slot !== null && this.#isDone(index));
  }

  /**
   * Resolves when every server that is there has acknowledged what holds now.
   * @throws what a server said that it can't do; unavailable when one has not answered by the deadline
   */
  async settled(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const slots = this.#port.slots();
      const behind = slots.findIndex((slot, index) => slot !== null && !this.#isDone(index));
      if (behind < 0) return;
      const failure = this.#heard[behind]?.failure;
      if (failure !== undefined && !isTransient(failure)) throw failure;
      const restMs = deadlineMs - performance.now();
      if (restMs <= 0 || this.#closed) {
        const why = failure === undefined ? "it has not answered" : messageOf(failure);
        throw new DownpourError(
          "unavailable",
          `the server at ${slots[behind]?.address} does not know of its slices or members yet: ${why}; ask again`,
        );
      }
      await this.#change(restMs);
    }
  }

  close(): void {
    this.#closed = true;
    this.#resume();
  }

  #isDone(index: number): boolean {
    const heard = this.#heard[index];
    const link = this.#links.at(index);
    return (
      heard !== undefined &&
      heard.memberId === link?.memberId &&
      heard.membersRevision >= this.#members.revision &&
      heard.layoutRevision >= (this.#port.layout()?.revision ?? 0)
    );
  }

  async #converge(index: number): Promise<void> {
    if (this.#running.has(index)) return;
    this.#running.add(index);
    let attempts = 0;
    while (!this.#closed && !this.#isDone(index)) {
      const link = this.#links.at(index);
      if (link === undefined) break;
      const heard = this.#heardOf(index, link.memberId);
      try {
        await this.#send(index, link, heard);
        heard.failure = undefined;
        attempts = 0;
      } catch (error) {
        if (this.#links.at(index) !== link) continue;
        attempts++;
        this.#note(link, heard, error, attempts);
        this.#resume();
        await sleep(retryPauseMs);
      }
    }
    this.#running.delete(index);
    this.#resume();
  }

  async #send(index: number, { memberId, caller }: ServerLink, heard: Heard): Promise<void> {
    const { coordinatorEpoch } = this.#links;
    const layout = this.#port.layout();
    if (layout !== undefined && heard.layoutRevision < layout.revision) {
      const addresses = this.#port.slots().map((slot) => slot?.address);
      await caller.call("Assign", {
        coordinatorEpoch,
        manifest: manifestToWire(layout.manifest),
        slices: assignmentOf(layout, index, addresses),
        batchesPerEpoch: this.#port.batchesPerEpoch(),
        layoutRevision: layout.revision,
        checkpoint: layout.checkpoint ?? "",
      });
      heard.layoutRevision = layout.revision;
      this.#logger.info({ memberId, revision: layout.revision }, "server has its slices");
      this.#port.onAssigned(memberId, layout.revision);
      return;
    }
    const { revision, memberIds } = this.#members;
    if (heard.membersRevision >= revision) return;
    await caller.call("SetMembers", { coordinatorEpoch, revision, memberIds: [...memberIds] });
    heard.membersRevision = revision;
  }

  #heardOf(index: number, memberId: string): Heard {
    const known = this.#heard[index];
    if (known?.memberId === memberId) return known;
    const heard = { memberId, layoutRevision: 0, membersRevision: 0, failure: undefined };
    this.#heard[index] = heard;
    return heard;
  }

  #note({ memberId, caller }: ServerLink, heard: Heard, error: unknown, attempts: number): void {
    const text = `${memberId} at ${caller.address} did not take what it was told: ${messageOf(error)}`;
    if (attempts === 1) this.#logger.warn({ err: error }, text);
    heard.failure = error;
    const restores = this.#port
      .layout()
      ?.slices.some(({ state, serverIndex }) => state === "restoring" && this.#heard[serverIndex] === heard);
    if (isTransient(error) || !restores || attempts < restoreAttemptsMax) return;
    const checkpoint = this.#port.layout()?.checkpoint;
    this.#port.onFailure(
      `${memberId} at ${caller.address} can't take its slices from ${checkpoint}: ${messageOf(error)}`,
    );
  }

  /** Waits until something may have changed. */
  async #change(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #resume(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
