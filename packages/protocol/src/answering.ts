import { DownpourError } from "@downpour/errors";
import type { handleBidiStreamingCall, ServerDuplexStream } from "@grpc/grpc-js";
import { endStream } from "./end-stream.ts";
import { http2StreamOf, readNothingAhead } from "./http2-tuning.ts";
import { limits } from "./limits.ts";
import { MalformedMessage } from "./message-codec.ts";

/**
 * The answer to one request: a promise of one message, or messages one by one.
 *
 * A promise's work is under way at once, beside that of earlier requests. An iterable is asked for its first
 * message when all earlier requests are answered, and for the next when the one before has gone to the transport.
 * So buffers of a message belong to the stream until the iterator is asked for another or is told to finish
 * (`return`, or the end of the generator); those of a promise's message are never handed back, so they must not be reused.
 */
export type Answer<Response> = Iterable<Response> | AsyncIterable<Response> | Promise<Response>;

/** Why a stream was ended by this side. */
export type Misbehaviour = "noFirstRequest" | "unreadAnswer" | "tooManyStreams" | "malformedMessage";

/** Bounds of a stream, by default those of {@link limits}, which say what happens at each. */
export interface AnsweringOptions {
  readonly requestsInFlightMax?: number;
  readonly streamsPerConnectionMax?: number;
  readonly firstRequestTimeoutMs?: number;
  readonly unreadTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  /** Called once for each stream that is ended because of its client; `error` is what the client is told. */
  readonly onMisbehaviour?: (reason: Misbehaviour, error: DownpourError) => void;
}

type Bounds = Required<Omit<AnsweringOptions, "onMisbehaviour">>;

/** Streams of all handlers that are open, by connection. */
const openStreams = new WeakMap<object, number>();

/**
 * A handler of a stream on which every request is answered, in the order of the requests. Several requests are
 * worked on at once, within bounds; beyond them, and while the client does not read its answers, the stream is
 * not read, so that HTTP/2 stops the client. What `answer` throws ends its stream and no other.
 */
export function answering<Request, Response>(
  answer: (request: Request) => Answer<Response>,
  options: AnsweringOptions = {},
): handleBidiStreamingCall<Request, Response> {
  return (stream) => {
    new AnsweredStream(stream, answer, options).open();
  };
}

/**
 * States: waiting for the first request -> (answering <-> idle) -> over. `over` is entered once: when both sides
 * have ended, the client went away or misbehaved, or an answer failed.
 */
class AnsweredStream<Request, Response> {
  readonly #stream: ServerDuplexStream<Request, Response>;
  readonly #answer: (request: Request) => Answer<Response>;
  readonly #bounds: Bounds;
  readonly #onMisbehaviour: AnsweringOptions["onMisbehaviour"];
  /** Requests that are not fully answered, oldest first. */
  readonly #turns: Answer<Response>[] = [];
  #halfClosed = false;
  #over = false;
  #answeringNow = false;
  #timer: NodeJS.Timeout | undefined;
  /** Ends the wait for the transport. */
  #release: () => void = () => undefined;

  constructor(
    stream: ServerDuplexStream<Request, Response>,
    answer: (request: Request) => Answer<Response>,
    options: AnsweringOptions,
  ) {
    const { onMisbehaviour, ...bounds } = options;
    this.#stream = stream;
    this.#answer = answer;
    this.#bounds = { ...limits, ...bounds };
    this.#onMisbehaviour = onMisbehaviour;
  }

  open(): void {
    const stream = this.#stream;
    // The client went away: its stream is over, and nobody is left to tell.
    stream.on("error", () => undefined);
    stream.on("cancelled", () => this.#stop());
    stream.on("close", () => this.#stop());
    try {
      readNothingAhead(stream);
      if (!this.#countIn()) return;
    } catch (error) {
      this.#end(error);
      return;
    }
    stream.on("data", (request: Request | MalformedMessage) => this.#take(request));
    stream.on("end", () => this.#halfClose());
    const { firstRequestTimeoutMs } = this.#bounds;
    this.#watch(firstRequestTimeoutMs, () => {
      const message = `no request came on ${stream.getPath()} within ${firstRequestTimeoutMs} ms; open a stream when there is something to send`;
      this.#refuse("noFirstRequest", new DownpourError("deadlineExceeded", message));
    });
  }

  /** Whether the connection may have one more stream. */
  #countIn(): boolean {
    const connection = http2StreamOf(this.#stream).session;
    if (connection === undefined) return true; // closed already
    const { streamsPerConnectionMax } = this.#bounds;
    const open = openStreams.get(connection) ?? 0;
    if (open >= streamsPerConnectionMax) {
      const message = `the connection has ${open} open streams, the limit is ${streamsPerConnectionMax}; close those that are not needed`;
      this.#refuse("tooManyStreams", new DownpourError("resourceExhausted", message));
      return false;
    }
    openStreams.set(connection, open + 1);
    this.#stream.once("close", () => openStreams.set(connection, (openStreams.get(connection) ?? 1) - 1));
    return true;
  }

  #take(request: Request | MalformedMessage): void {
    if (this.#over) return;
    if (request instanceof MalformedMessage) {
      this.#refuse("malformedMessage", request.error);
      return;
    }
    if (this.#turns.length === 0) this.#watch(undefined);
    this.#turns.push(this.#begin(request));
    if (this.#turns.length >= this.#bounds.requestsInFlightMax) this.#stream.pause();
    if (!this.#answeringNow) void this.#answerTurns();
  }

  #begin(request: Request): Answer<Response> {
    let turn: Answer<Response>;
    try {
      turn = this.#answer(request);
    } catch (error) {
      turn = Promise.reject(error);
    }
    // It may fail long before its turn comes, which is when it is looked at.
    if (turn instanceof Promise) turn.catch(() => undefined);
    return turn;
  }

  async #answerTurns(): Promise<void> {
    this.#answeringNow = true;
    try {
      for (let turn = this.#turns[0]; turn !== undefined && !this.#over; turn = this.#turns[0]) {
        for await (const message of messagesOf(turn)) {
          if (!this.#over) await this.#write(message);
          if (this.#over) break;
        }
        void this.#turns.shift();
        if (!this.#over && this.#stream.isPaused()) this.#stream.resume();
      }
    } catch (error) {
      this.#end(error);
    }
    this.#answeringNow = false;
    if (this.#over) this.#dropTurns();
    else this.#rest();
  }

  /** Resolves when the message has gone to the transport, or the stream is over. */
  #write(message: Response): Promise<void> {
    const { unreadTimeoutMs } = this.#bounds;
    return new Promise((resolve) => {
      this.#release = () => {
        this.#watch(undefined);
        resolve();
      };
      this.#watch(unreadTimeoutMs, () => {
        const text = `the client did not take an answer of ${this.#stream.getPath()} within ${unreadTimeoutMs} ms`;
        this.#refuse("unreadAnswer", new DownpourError("resourceExhausted", text));
      });
      this.#stream.write(message, () => this.#release());
    });
  }

  /** All is answered. */
  #rest(): void {
    if (this.#halfClosed) this.#stream.end();
    else this.#watch(this.#bounds.idleTimeoutMs, () => this.#stream.end());
  }

  #halfClose(): void {
    this.#halfClosed = true;
    if (this.#turns.length > 0 || this.#over) return;
    this.#watch(undefined);
    this.#stream.end();
  }

  #watch(timeoutMs: number | undefined, onTimeout: () => void = () => undefined): void {
    clearTimeout(this.#timer);
    this.#timer = timeoutMs === undefined ? undefined : setTimeout(onTimeout, timeoutMs).unref();
  }

  #refuse(reason: Misbehaviour, error: DownpourError): void {
    if (this.#over) return;
    this.#onMisbehaviour?.(reason, error);
    this.#end(error);
  }

  /** Ends the stream with the status of an error. */
  #end(error: unknown): void {
    if (this.#over) return;
    this.#stop();
    endStream(this.#stream, error);
  }

  #stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#watch(undefined);
    this.#release();
    if (!this.#answeringNow) this.#dropTurns();
  }

  /** Lets what was not begun free what it holds. */
  #dropTurns(): void {
    for (const turn of this.#turns.splice(0)) {
      if (Symbol.asyncIterator in turn)
        void turn[Symbol.asyncIterator]()
          .return?.()
          .catch(() => undefined);
      else if (Symbol.iterator in turn) turn[Symbol.iterator]().return?.();
    }
  }
}

function messagesOf<Response>(turn: Answer<Response>): Iterable<Response> | AsyncIterable<Response> {
  return Symbol.iterator in turn || Symbol.asyncIterator in turn ? turn : only(turn);
}

async function* only<Response>(promise: Promise<Response>): AsyncGenerator<Response> {
  yield await promise;
}
