import { DownpourError } from "@downpour/errors";
import { type CoordinatorHandlers, unary } from "@downpour/protocol";

type Handler = (...args: unknown[]) => unknown;

/**
 * Handlers that answer "unavailable" while this process may not speak for the job: members then ask another coordinator.
 * Streams that are open stay so.
 */
export function guardHandlers(handlers: CoordinatorHandlers, leads: () => boolean): CoordinatorHandlers {
  const refuse = unary(() => {
    throw new DownpourError(
      "unavailable",
      "this coordinator does not lead the job now; ask again, or another one",
    );
  }) as unknown as Handler;
  const guarded = Object.entries(handlers).map(([name, handler]) => {
    if (name === "Watch") return [name, handler];
    const answer: Handler = (...args) => (leads() ? (handler as Handler)(...args) : refuse(...args));
    return [name, answer];
  });
  return Object.fromEntries(guarded) as CoordinatorHandlers;
}
