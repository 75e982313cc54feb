import { createParser } from "eventsource-parser";

/** What the server answers when it refuses. */
interface Refusal {
  readonly error?: { readonly code?: string; readonly message?: string };
}

/** A request that was refused, or that nobody answered (status 0). */
export class RequestError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface StreamEvent {
  readonly id: string | undefined;
  readonly kind: string;
  readonly data: string;
}

/** The server says something at least every 15 s; a stream that is silent for longer is dead. */
const silenceMaxMs = 40_000;

const tokenKey = "downpour-token";

/** Requests to the server that sent this page. */
export class Client {
  #token: string | undefined;

  constructor() {
    this.#token = tokenOfAddress() ?? sessionStorage.getItem(tokenKey) ?? undefined;
  }

  /** Uses a join token from now on, for as long as the tab is open. */
  signIn(token: string): void {
    this.#token = token;
    sessionStorage.setItem(tokenKey, token);
  }

  async get<T>(path: string): Promise<T> {
    return (await (await this.#send(path, {})).json()) as T;
  }

  async post(path: string, body: object): Promise<void> {
    const headers = { "content-type": "application/json" };
    await this.#send(path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  /** Follows events until the stream ends; returns whether there are any to follow. */
  async follow(
    path: string,
    lastId: string,
    onEvent: (event: StreamEvent) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const quiet = new AbortController();
    const either = AbortSignal.any([signal, quiet.signal]);
    const response = await this.#send(path, { headers: { "last-event-id": lastId }, signal: either });
    if (response.status === 204 || response.body === null) return false;
    const parser = createParser({
      onEvent: ({ id, event, data }) => onEvent({ id, kind: event ?? "message", data }),
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const timer = setTimeout(() => quiet.abort(), silenceMaxMs);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return true;
      parser.feed(value);
    }
  }

  async #send(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#token !== undefined) headers.set("authorization", `Bearer ${this.#token}`);
    const response = await fetch(`./api/v1/${path}`, { ...init, headers, cache: "no-store" }).catch(
      (error: unknown) => {
        throw new RequestError(0, `the coordinator does not answer (${String(error)})`);
      },
    );
    if (response.ok) return response;
    const refusal = (await response.json().catch(() => ({}))) as Refusal;
    throw new RequestError(response.status, refusal.error?.message ?? `status ${response.status}`);
  }
}

/** `#token=...` of the address, which is taken out of it at once. */
function tokenOfAddress(): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return undefined;
  history.replaceState(null, "", location.pathname + location.search);
  sessionStorage.setItem(tokenKey, token);
  return token;
}
