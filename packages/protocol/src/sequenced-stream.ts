import { DownpourError, messageOf } from "@downpour/errors";
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { fromCallError } from "./status.ts";

/** An answer that names the request it belongs to. */
interface Sequenced {
  sequence: number;
}

interface Waiting<Response> {
  readonly onResponse: (response: Response) => boolean;
  readonly resolve: () => void;
  readonly reject: (error: DownpourError) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * A duplex stream that is opened on first use, stays open, and is opened anew after it broke. Requests are
 * matched with their answers by sequence number.
 *
 * States: closed -> open (first request) -> closed (error, end, or close()). All requests that wait when the
 * stream closes fail with its error; the caller decides whether to send them again.
 */
export class SequencedStream<Request extends { sequence?: unknown }, Response extends Sequenced> {
  readonly #open: () => ClientDuplexStream<Request, Response>;
  readonly #what: string;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<number, Waiting<Response>>();
  #stream: ClientDuplexStream<Request, Response> | undefined;
  #sequence = 0;

  /**
   * @param open makes the call
   * @param what names call and other side in errors
   * @param timeoutMs a request that is not answered fully within it fails with deadlineExceeded
   */
  constructor(open: () => ClientDuplexStream<Request, Response>, what: string, timeoutMs: number) {
    this.#open = open;
    this.#what = what;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Sends one request and hands each of its answers to `onResponse`, until that returns true (done) or throws.
   * The buffers of the request belong to the stream until the promise settles.
   */
  request(request: Omit<Request, "sequence">, onResponse: (response: Response) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const sequence = ++this.#sequence;
      const timer = setTimeout(() => {
        const message = `${this.#what} did not answer within ${this.#timeoutMs} ms; is the process stopped or the network cut?`;
        this.#abandon(new DownpourError("deadlineExceeded", message));
      }, this.#timeoutMs);
      const waiting = { onResponse, resolve, reject, timer };
      this.#waiting.set(sequence, waiting);
      try {
        const stream = this.#stream ?? this.#connect();
        stream.write({ ...request, sequence } as unknown as Request);
      } catch (error) {
        this.#settle(sequence, waiting);
        const message = `${this.#what} can't be opened: ${messageOf(error)}`;
        reject(new DownpourError("unavailable", message, { cause: error }));
      }
    });
  }

  close(): void {
    this.#abandon(new DownpourError("unavailable", `${this.#what} was closed by this side`));
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
    const waiting = this.#waiting.get(response.sequence);
    if (waiting === undefined) return; // its handler threw at an earlier answer
    try {
      if (!waiting.onResponse(response)) return;
      this.#settle(response.sequence, waiting);
      waiting.resolve();
    } catch (error) {
      this.#settle(response.sequence, waiting);
      waiting.reject(error as DownpourError);
    }
  }

  #settle(sequence: number, waiting: Waiting<Response>): void {
    clearTimeout(waiting.timer);
    this.#waiting.delete(sequence);
  }

  /** `stream`: the one that failed; a newer one is left alone. */
  #fail(error: DownpourError, stream = this.#stream): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    for (const [sequence, waiting] of this.#waiting) {
      this.#settle(sequence, waiting);
      waiting.reject(error);
    }
  }
}
