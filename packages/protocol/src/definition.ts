import { fileURLToPath } from "node:url";
import { loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { ProtoGrpcType as CoordinatorTypes } from "./generated/coordinator.ts";
import type { ProtoGrpcType as ParameterServerTypes } from "./generated/parameter_server.ts";
import { tolerant } from "./message-codec.ts";
import { withOneCopy } from "./one-copy.ts";

/** The `.proto` files, the contract between processes; the build copies them into the package. */
const protoDirectory = fileURLToPath(new URL("../proto", import.meta.url));

/*
 * Wire types as JavaScript sees them: camelCase, 64-bit counts as numbers (all stay below 2^53), enums by
 * name, absent messages as null, bytes as Buffer views into the received message.
 */
const files = ["downpour/v1/parameter_server.proto", "downpour/v1/coordinator.proto"];
const definition = loadSync(files, {
  includeDirs: [protoDirectory],
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});

const parameterServer = "downpour.v1.ParameterServer";
const tuned = withOneCopy(tolerant(definition), files, protoDirectory, [
  { service: parameterServer, method: "Push", side: "request" },
  { service: parameterServer, method: "Pull", side: "response" },
]);

const loaded = loadPackageDefinition(tuned) as unknown as CoordinatorTypes & ParameterServerTypes;

/** Client constructors and service definitions of `downpour.v1`. */
export const services = {
  ParameterServer: loaded.downpour.v1.ParameterServer,
  Coordinator: loaded.downpour.v1.Coordinator,
} as const;
