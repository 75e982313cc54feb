export { type ParameterServerOptions, runParameterServer } from "./run-parameter-server.ts";
