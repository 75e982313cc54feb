import { execFileSync, spawnSync } from "node:child_process";

/** A container of a compose project. */
export interface Container {
  readonly id: string;
  readonly name: string;
  readonly service: string;
  readonly status: string;
  readonly exitCode: number;
  /** Of its first process, on this machine. */
  readonly pid: number;
  readonly networks: readonly string[];
  /** One in each of its networks, reached from this machine. */
  readonly addresses: readonly string[];
  readonly restarts: number;
}

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly RestartCount: number;
  readonly State: { readonly Status: string; readonly ExitCode: number; readonly Pid: number };
  readonly Config: { readonly Labels: Readonly<Record<string, string>> };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { IPAddress: string }>> };
}

function idsOf(kind: readonly string[], project: string): string[] {
  const filter = ["--quiet", "--filter", `label=com.docker.compose.project=${project}`];
  const listed = execFileSync("docker", [...kind, ...filter], { encoding: "utf8" });
  return listed.split("\n").filter((line) => line !== "");
}

/** All containers of a project, also those that have ended. */
export function containersOf(project: string): Container[] {
  const ids = idsOf(["ps", "--all"], project);
  if (ids.length === 0) return [];
  const { stdout } = spawnSync("docker", ["inspect", ...ids], { encoding: "utf8", maxBuffer: 64 * 2 ** 20 });
  return (JSON.parse(stdout) as Inspected[]).map((each) => ({
    id: each.Id,
    name: each.Name.slice(1),
    service: each.Config.Labels["com.docker.compose.service"] ?? "",
    status: each.State.Status,
    exitCode: each.State.ExitCode,
    pid: each.State.Pid,
    networks: Object.keys(each.NetworkSettings.Networks),
    addresses: Object.values(each.NetworkSettings.Networks).map(({ IPAddress }) => IPAddress),
    restarts: each.RestartCount,
  }));
}

/** Networks and volumes of a project. */
export function leftOf(project: string): { readonly networks: string[]; readonly volumes: string[] } {
  return { networks: idsOf(["network", "ls"], project), volumes: idsOf(["volume", "ls"], project) };
}
