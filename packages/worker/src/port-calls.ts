import type { MessagePort, Worker } from "node:worker_threads";
import { codeOf, DownpourError, type ErrorCode, messageOf } from "@downpour/errors";

/*
 * Calls over a MessagePort: one side serves an object's methods, the other calls them. All methods take at most
 * one argument and return a promise; arguments and results are copied, SharedArrayBuffers are shared.
 */

interface CallMessage {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

type ResultMessage =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { code: ErrorCode; message: string; stack: string | undefined } };

type Methods = Readonly<Record<string, (argument: never) => Promise<unknown>>>;

/** Serves the methods of `target` on the port. */
export function servePort<T extends object>(port: MessagePort, target: T): void {
  port.on("message", ({ id, method, argument }: CallMessage) => {
    const call = (target as unknown as Methods)[method];
    Promise.resolve()
      .then(() => call?.call(target, argument as never))
      .then(
        (result) => port.postMessage({ id, result } satisfies ResultMessage),
        (thrown: unknown) => {
          const code = codeOf(thrown);
          const stack = thrown instanceof Error ? thrown.stack : undefined;
          port.postMessage({
            id,
            error: { code, message: messageOf(thrown), stack },
          } satisfies ResultMessage);
        },
      );
  });
}

/** Methods of `T` as calls over the port. `names` lists them. */
export function callPort<T extends object>(
  port: MessagePort | Worker,
  names: readonly (keyof T & string)[],
): T {
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let calls = 0;
  port.on("message", (message: ResultMessage) => {
    const call = waiting.get(message.id);
    waiting.delete(message.id);
    if ("error" in message) {
      const { code, message: text, stack } = message.error;
      call?.reject(new DownpourError(code, text, { cause: stack }));
    } else {
      call?.resolve(message.result);
    }
  });
  const methods = names.map((method) => {
    const call = (argument: unknown) =>
      new Promise((resolve, reject) => {
        const id = ++calls;
        waiting.set(id, { resolve, reject });
        port.postMessage({ id, method, argument } satisfies CallMessage);
      });
    return [method, call] as const;
  });
  return Object.fromEntries(methods) as unknown as T;
}
