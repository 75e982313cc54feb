export { type ApplyMeasurement, type ApplyTimes, measureApply } from "./bench-apply.ts";
export { type ServerBounds, serverBounds } from "./bounds.ts";
export {
  type MemoryBytes,
  type MemoryEstimate,
  type PlanOptions,
  serverMemoryEstimate,
} from "./memory-plan.ts";
export { type ParameterServerOptions, runParameterServer } from "./run-parameter-server.ts";
