import { DownpourError, messageOf } from "@downpour/errors";
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { limits } from "./limits.ts";
import { fromCallError } from "./status.ts";

/** An answer that names the request it belongs to. */
interface Sequenced {
  sequence: number;
}

interface Waiting<Request, Response> {
  readonly request: Omit<Request, "sequence">;
  readonly onResponse: (response: Response) => boolean;
  readonly resolve: () => void;
  readonly reject: (error: DownpourError) => void;
  /** Set once it is sent. */
  timer?: NodeJS.Timeout;
}

/**
 * A duplex stream that is opened on first use, stays open, and is opened anew after it broke. Requests are sent
 * in the order of the calls, and matched with their answers by sequence number.
 *
 * One request at a time is written, when the one before has gone to the transport, and at most
 * `limits.requestsSentMax` are unanswered: a server that takes them slowly slows the caller, and the stream holds
 * the bytes of one request only, apart from the transport's window.
 *
 * States: closed -> open (first request) -> closed (error, end, or close()). All requests that wait when the
 * stream closes fail with its error; the caller decides whether to send them again.
 */
export class SequencedStream<Request extends { sequence?: unknown }, Response extends Sequenced> {
  readonly #open: () => ClientDuplexStream<Request, Response>;
  readonly #what: string;
  readonly #timeoutMs: number;
  /** Not sent yet, in order. */
  readonly #queue: Waiting<Request, Response>[] = [];
  /** Sent and not fully answered. */
  readonly #sent = new Map<number, Waiting<Request, Response>>();
  #stream: ClientDuplexStream<Request, Response> | undefined;
  /** A request is on its way into the transport. */
  #writing = false;
  #sequence = 0;

  /**
   * @param open makes the call
   * @param what names call and other side in errors
   * @param timeoutMs a request that is not answered fully within it, from when its sending began, fails with
   * deadlineExceeded
   */
  constructor(open: () => ClientDuplexStream<Request, Response>, what: string, timeoutMs: number) {
    this.#open = open;
    this.#what = what;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Sends one request and hands each of its answers to `onResponse`, until that returns true (done) or throws.
   * The buffers of the request belong to the stream until the promise settles; those of an answer to `onResponse`.
   */
  request(request: Omit<Request, "sequence">, onResponse: (response: Response) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#queue.length >= limits.requestsQueuedMax) {
        const message = `${this.#what}: ${this.#queue.length} requests wait to be sent, the limit is ${limits.requestsQueuedMax}; await some of them first`;
        reject(new DownpourError("resourceExhausted", message));
        return;
      }
      this.#queue.push({ request, onResponse, resolve, reject });
      this.#send();
    });
  }

  close(): void {
    this.#abandon(new DownpourError("unavailable", `${this.#what} was closed by this side`));
  }

  /** Writes the next request, if its turn has come. */
  #send(): void {
    if (this.#writing || this.#sent.size >= limits.requestsSentMax) return;
    const waiting = this.#queue.shift();
    if (waiting === undefined) return;
    const sequence = ++this.#sequence;
    waiting.timer = setTimeout(() => {
      const message = `${this.#what} did not answer within ${this.#timeoutMs} ms; is the process stopped or the network cut?`;
      this.#abandon(new DownpourError("deadlineExceeded", message));
    }, this.#timeoutMs);
    this.#sent.set(sequence, waiting);
    this.#writing = true;
    try {
      const stream = this.#stream ?? this.#connect();
      stream.write({ ...waiting.request, sequence } as unknown as Request, () => {
        if (stream !== this.#stream) return;
        this.#writing = false;
        this.#send();
      });
    } catch (error) {
      const message = `${this.#what} can't be opened: ${messageOf(error)}`;
      this.#fail(new DownpourError("unavailable", message, { cause: error }));
    }
  }

  /**
   * Gives up the stream and all that waits on it: answers come in order, so none can overtake a late one; and
   * a request that still queues must not be sent once its buffers are the caller's again.
   */
  #abandon(error: DownpourError): void {
    const stream = this.#stream;
    this.#fail(error);
    stream?.cancel();
  }

  #connect(): ClientDuplexStream<Request, Response> {
    const stream = this.#open();
    this.#stream = stream;
    stream.on("data", (response: Response) => this.#receive(response));
    stream.on("error", (error: ServiceError) => this.#fail(fromCallError(error, this.#what), stream));
    stream.on("end", () => {
      this.#fail(new DownpourError("unavailable", `${this.#what} was ended by the other side`), stream);
    });
    return stream;
  }

  #receive(response: Response): void {
    const waiting = this.#sent.get(response.sequence);
    if (waiting === undefined) return; // its handler threw at an earlier answer
    try {
      if (!waiting.onResponse(response)) return;
      this.#settle(response.sequence, waiting);
      waiting.resolve();
    } catch (error) {
      this.#settle(response.sequence, waiting);
      waiting.reject(error as DownpourError);
    }
    this.#send();
  }

  #settle(sequence: number, waiting: Waiting<Request, Response>): void {
    clearTimeout(waiting.timer);
    this.#sent.delete(sequence);
  }

  /** `stream`: the one that failed; a newer one is left alone. */
  #fail(error: DownpourError, stream = this.#stream): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    this.#writing = false;
    for (const [sequence, waiting] of this.#sent) {
      this.#settle(sequence, waiting);
      waiting.reject(error);
    }
    for (const waiting of this.#queue.splice(0)) waiting.reject(error);
  }
}
