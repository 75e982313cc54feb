import { DownpourError } from "@downpour/errors";
import { docker } from "./docker.ts";

/** A container of a project, as the engine has it now. */
export interface Container {
  readonly id: string;
  readonly name: string;
  /** coordinator, server-1, server-2, worker, evaluator, nats, init, ... */
  readonly service: string;
  readonly state: "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";
  /** undefined where the container has no health check. */
  readonly health: "starting" | "healthy" | "unhealthy" | undefined;
  /** What the latest health check said, such as the reason why the role is not ready; empty without one. */
  readonly healthText: string;
  readonly exitCode: number;
  readonly outOfMemory: boolean;
  readonly memoryLimitBytes: number;
  readonly restarts: number;
}

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly RestartCount: number;
  readonly State: {
    readonly Status: Container["state"];
    readonly ExitCode: number;
    readonly OOMKilled: boolean;
    readonly Health?: {
      readonly Status: NonNullable<Container["health"]>;
      readonly Log?: { Output: string }[];
    };
  };
  readonly HostConfig: { readonly Memory: number };
  readonly Config: { readonly Labels: Readonly<Record<string, string>> };
}

/** Of every container: the name of its project. */
export const projectLabel = "com.docker.compose.project";

/** All containers of a compose project, by service; empty when there are none. */
export async function containersOf(project: string): Promise<Container[]> {
  const listed = await docker("ps", "--all", "--quiet", "--filter", `label=${projectLabel}=${project}`);
  if (listed.status !== 0) {
    throw new DownpourError("environment", `the containers can't be listed: ${listed.stderr.trim()}`);
  }
  const ids = listed.stdout.split("\n").filter((id) => id !== "");
  if (ids.length === 0) return [];
  // One that is removed meanwhile makes the status 1; the others are told all the same.
  const { stdout } = await docker("inspect", ...ids);
  const found = JSON.parse(stdout || "[]") as Inspected[];
  return found.map(containerOf).sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

function containerOf({ Id, Name, RestartCount, State, HostConfig, Config }: Inspected): Container {
  return {
    id: Id,
    name: Name.replace(/^\//, ""),
    service: Config.Labels["com.docker.compose.service"] ?? "",
    state: State.Status,
    health: State.Health?.Status,
    healthText: State.Health?.Log?.at(-1)?.Output.trim().split("\n").at(-1) ?? "",
    exitCode: State.ExitCode,
    outOfMemory: State.OOMKilled,
    memoryLimitBytes: HostConfig.Memory,
    restarts: RestartCount,
  };
}

/** The last lines that a container wrote. */
export async function lastLinesOf({ id }: Pick<Container, "id">, count = 20): Promise<string[]> {
  const { stdout, stderr } = await docker("logs", "--tail", String(count), id);
  return `${stdout}\n${stderr}`.split("\n").filter((line) => line.trim() !== "");
}
