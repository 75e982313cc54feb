import { DownpourError, messageOf } from "@downpour/errors";
import type { MethodDefinition, PackageDefinition } from "@grpc/proto-loader";

/** Stands in for a request that is not a message of its type; handlers end its call with `error`. */
export class MalformedMessage {
  readonly error: DownpourError;

  constructor(type: string, cause: unknown) {
    const message = `the request is not a ${type}: ${messageOf(cause)}; do both sides speak downpour.v1?`;
    this.error = new DownpourError("invalidArgument", message, { cause });
  }
}

type AnyMethod = MethodDefinition<object, object>;

/**
 * Makes the requests of unary calls and duplex streams arrive at their handlers even when they can't be read:
 * grpc-js by itself ends such a call with INTERNAL, and nobody can count it or say why.
 */
export function tolerant(definition: PackageDefinition): PackageDefinition {
  return Object.fromEntries(
    Object.entries(definition).map(([name, found]) => {
      if ("format" in found) return [name, found]; // a message or an enum
      const methods = Object.entries(found).map(([method, of]) => [method, tolerantMethod(of)] as const);
      return [name, Object.fromEntries(methods)];
    }),
  );
}

function tolerantMethod(method: AnyMethod): AnyMethod {
  if (method.requestStream !== method.responseStream) return method;
  const { requestDeserialize, requestType } = method;
  const type = (requestType.type as { name?: string }).name ?? "message";
  return {
    ...method,
    requestDeserialize(bytes) {
      try {
        return requestDeserialize(bytes);
      } catch (error) {
        return new MalformedMessage(type, error);
      }
    },
  };
}
