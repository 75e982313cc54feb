import type { JobEvent } from "@downpour/protocol";
import { type HistorySnapshot, RunHistory, type RunInfo, type RunState } from "@downpour/run-history";
import { type Client, RequestError } from "./client.ts";
import { Observable } from "./observable.ts";

/**
 * - `loading`: nothing is here yet
 * - `live`: events come
 * - `lost`: the coordinator does not answer; it is asked again
 * - `ended`: the run is over, and its coordinator gone
 * - `recorded`: a run that was recorded
 * - `locked`: the join token is missing or wrong
 */
export type Connection = "loading" | "live" | "lost" | "ended" | "recorded" | "locked";

/** What is done about a run. */
export type Command = "pause" | "resume" | "drop" | "drain" | "stop" | "checkpoint";

const statePollMs = 1000;
const retryFirstMs = 500;
const retryMaxMs = 5000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What this page knows of one run, kept up to date. */
export class RunStore extends Observable {
  readonly info: RunInfo;
  readonly #client: Client;
  readonly #query: string;
  readonly #ended = new AbortController();
  history = new RunHistory();
  state: RunState | undefined;
  connection: Connection = "loading";
  /** What went wrong last, for people. */
  problem: string | undefined;
  /** Whose sequences the history's are. */
  #streamId = "";

  constructor(info: RunInfo, client: Client) {
    super();
    this.info = info;
    this.#client = client;
    this.#query = `run=${encodeURIComponent(info.id)}`;
  }

  /** Begins to follow the run. */
  start(): void {
    void this.#follow();
    if (this.info.live) void this.#poll();
  }

  stop(): void {
    this.#ended.abort();
  }

  /** @throws RequestError when it is refused */
  async command(command: Command, body: object = {}): Promise<void> {
    await this.#client.post(`${command}?${this.#query}`, body);
    await this.#readState();
  }

  /** History, then the events that come after it; begun anew whenever the stream breaks. */
  async #follow(): Promise<void> {
    let retryMs = retryFirstMs;
    while (!this.#ended.signal.aborted) {
      try {
        await this.#load();
        retryMs = retryFirstMs;
        while (await this.#stream()) await pause(retryFirstMs);
        this.#become("recorded");
        return;
      } catch (error) {
        if (this.#isOver(error)) return;
        await pause(retryMs);
        retryMs = Math.min(2 * retryMs, retryMaxMs);
      }
    }
  }

  /** Returns whether the run may have more events. */
  async #stream(): Promise<boolean> {
    const gap = new AbortController();
    const signal = AbortSignal.any([this.#ended.signal, gap.signal]);
    const lastId = `${this.#streamId}:${this.history.sequence}`;
    let missed = false;
    const more = await this.#client
      .follow(
        `events?${this.#query}`,
        lastId,
        ({ kind, data }) => {
          if (kind === "gap") {
            missed = true;
            gap.abort();
          } else if (kind === "job" && !missed) this.#take(data);
        },
        signal,
      )
      .catch((error: unknown) => {
        if (missed) return true;
        throw error;
      });
    if (missed) await this.#load();
    return more;
  }

  #take(data: string): void {
    const { sequence, timeMs, event } = JSON.parse(data) as {
      readonly sequence: number;
      readonly timeMs: number;
      readonly event: JobEvent;
    };
    if (sequence <= this.history.sequence) return;
    this.history.add(sequence, timeMs, event);
    if (event.type === "ended") void this.#readState().catch(() => undefined);
    this.changed();
  }

  async #load(): Promise<void> {
    await this.#readState();
    const snapshot = await this.#client.get<HistorySnapshot & { readonly streamId: string }>(
      `history?${this.#query}`,
    );
    this.history = RunHistory.restore(snapshot);
    this.#streamId = snapshot.streamId;
    this.#become(this.info.live ? "live" : "recorded");
  }

  async #readState(): Promise<void> {
    this.state = await this.#client.get<RunState>(`state?${this.#query}`);
    this.changed();
  }

  async #poll(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      await pause(statePollMs);
      if (this.connection !== "live" || document.hidden) continue;
      await this.#readState().catch(() => undefined);
    }
  }

  /** Takes in what went wrong. Returns whether it is no use to try again. */
  #isOver(error: unknown): boolean {
    if (this.#ended.signal.aborted) return true;
    this.problem = error instanceof Error ? error.message : String(error);
    if (error instanceof RequestError && error.status === 401) {
      this.#become("locked");
      return true;
    }
    if (this.#hasEnded()) {
      this.#become("ended");
      return true;
    }
    this.#become("lost");
    return false;
  }

  #hasEnded(): boolean {
    return this.state?.lifecycle === "finished" || this.state?.lifecycle === "failed";
  }

  #become(connection: Connection): void {
    if (this.connection !== connection) this.connection = connection;
    if (connection === "live" || connection === "recorded") this.problem = undefined;
    this.changed();
  }
}
