export { type ServerBounds, serverBounds } from "./bounds.ts";
export {
  type MemoryBytes,
  type MemoryEstimate,
  type PlanOptions,
  serverMemoryEstimate,
} from "./memory-plan.ts";
export { type ParameterServerOptions, runParameterServer } from "./run-parameter-server.ts";
