export { type CoordinatorOptions, runCoordinator } from "./run-coordinator.ts";
