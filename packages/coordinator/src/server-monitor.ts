import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { isTransient } from "@downpour/protocol";
import type { CoordinatorCore } from "./coordinator-core.ts";
import type { ServerLinks } from "./server-links.ts";

/** How often servers are asked for their figures. */
const pollMs = 5000;

/** Servers are told so often to close their rounds before the job fails, and after such a pause. */
const closeAttemptsMax = 3;
const closePauseMs = 500;

/** The shell that asks servers on the core's behalf: figures while training, the end of rounds after it. */
export class ServerMonitor {
  readonly #core: CoordinatorCore;
  readonly #servers: ServerLinks;
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  #polling = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(core: CoordinatorCore, servers: ServerLinks, logger: Logger, nowMs: () => number) {
    this.#core = core;
    this.#servers = servers;
    this.#logger = logger;
    this.#nowMs = nowMs;
  }

  /** Asks now and then while training, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(pollMs, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted && this.#core.lifecycle.kind === "training") await this.poll(false);
    }
  }

  /** Asks every server for its figures; those that do not answer are left out. One round of questions at a time. */
  poll(final: boolean): Promise<void> {
    this.#polling = this.#polling.then(() => this.#poll(final));
    return this.#polling;
  }

  /** After the drain: has rounds closed where that is due, once at a time; the job fails where it can't be had. */
  closeRounds(): Promise<void> {
    if (!this.#core.roundsDue) return Promise.resolve();
    this.#closing ??= this.#close().finally(() => {
      this.#closing = undefined;
    });
    return this.#closing;
  }

  async #poll(final: boolean): Promise<void> {
    const servers = this.#core.membership.present("server");
    const statuses = await this.#servers.status();
    const answers = servers.map((server) => ({ server, status: statuses.get(server.memberId) }));
    this.#core.reportServers(answers, final);
  }

  async #close(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#servers.closeRounds();
        this.#core.roundsClosed();
        return;
      } catch (error) {
        // A server that is away is waited for: this is called again.
        if (isTransient(error)) return;
        const text = `the servers' rounds could not be closed: ${messageOf(error)}`;
        this.#logger.warn({ err: error, attempt }, text);
        if (attempt === closeAttemptsMax) {
          this.#core.fail(`${text} (asked ${attempt} times)`, this.#nowMs());
          return;
        }
        await sleep(closePauseMs);
      }
    }
  }
}
