import { DownpourError } from "@downpour/errors";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { services } from "./definition.ts";
import type { CoordinatorDefinition } from "./generated/downpour/v1/Coordinator.ts";
import type { ParameterServerDefinition } from "./generated/downpour/v1/ParameterServer.ts";
import { type Role, roles } from "./roles.ts";

/** The RPCs of a service definition without its index signature. */
type RpcOf<Definition> = keyof { [M in keyof Definition as string extends M ? never : M]: true } & string;

interface Permissions {
  readonly Coordinator: Readonly<Record<RpcOf<CoordinatorDefinition>, readonly Role[]>>;
  readonly ParameterServer: Readonly<Record<RpcOf<ParameterServerDefinition>, readonly Role[]>>;
}

const members: readonly Role[] = ["worker", "evaluator"];

/** The roles that may call each RPC: those that its comment in the proto file names as callers. */
export const permissions: Permissions = {
  Coordinator: {
    GetJob: roles,
    RegisterServer: ["server"],
    Join: members,
    ReportInitialized: ["worker"],
    AcquireLease: ["worker"],
    ReportBatches: ["worker"],
    ReturnLease: ["worker"],
    Leave: members,
    Heartbeat: ["server", ...members],
    GetLayout: members,
    NextEvaluation: ["evaluator"],
    ReportEvaluation: ["evaluator"],
    Watch: roles,
    StopJob: ["admin"],
    PauseJob: ["admin"],
    ResumeJob: ["admin"],
    DropLearningRate: ["admin"],
    DrainWorker: ["admin"],
    Checkpoint: ["admin"],
  },
  ParameterServer: {
    Assign: ["coordinator"],
    Replicate: ["server"],
    WriteCheckpoint: ["coordinator"],
    SetMembers: ["coordinator"],
    Initialize: ["worker"],
    Push: ["worker"],
    Pull: members,
    AdmitPush: ["worker"],
    CloseRounds: ["coordinator"],
    GetServerStatus: ["coordinator", "admin"],
  },
};

/** The same by path, as a call carries it: `/downpour.v1.Coordinator/Join`. */
const allowedByPath: ReadonlyMap<string, readonly Role[]> = new Map([
  ...entriesOf(services.Coordinator.service, permissions.Coordinator),
  ...entriesOf(services.ParameterServer.service, permissions.ParameterServer),
]);

function entriesOf(service: ServiceDefinition, table: Readonly<Record<string, readonly Role[]>>) {
  return Object.entries(service).flatMap(([name, { path }]) => {
    const allowed = table[name];
    return allowed === undefined ? [] : [[path, allowed] as const];
  });
}

/**
 * The roles that may call an RPC.
 * @throws internal when the table has no entry for it: nobody may call what nobody thought of
 */
export function rolesAllowed(path: string): readonly Role[] {
  const allowed = allowedByPath.get(path);
  if (allowed === undefined) {
    const message = `no role may call ${path}: it has no entry in the table of permissions.ts; add one`;
    throw new DownpourError("internal", message);
  }
  return allowed;
}
