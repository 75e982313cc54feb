import { DownpourError } from "@downpour/errors";
import type { Command } from "commander";
import { integerOption } from "../bench/options.ts";
import { type Container, containersOf } from "../compose/containers.ts";
import { findEngine } from "../compose/engine.ts";
import { checkProjectName, defaultProjectName, forgetProject, readProject } from "../compose/project.ts";
import { ComposeRunner } from "../compose/run-compose.ts";
import { type CliConfig, readImageConfig } from "../config.ts";
import type { Reporter } from "../reporter.ts";
import { composeUp, type UpOptions } from "./compose-up.ts";

interface ProjectOption {
  readonly project: string;
}

/** More workers than this is a slip of the finger. */
const workersMax = 1000;

/** Adds `downpour up`, `ps`, `scale`, `logs` and `down`: a cluster in containers on one Docker engine. */
export function addCompose(
  program: Command,
  config: CliConfig,
  reporter: () => Reporter,
  done: (status: number) => void,
): void {
  const project = ["--project <name>", "name of the cluster", defaultProjectName] as const;

  program
    .command("up")
    .description("train a job with all roles in containers (docs/deploy-compose.md)")
    .argument("<job>", "job file (YAML)")
    .option(...project)
    .option("--workers <count>", "workers")
    .option("--epochs <count>", "epochs, at most")
    .option("--seed <number>", "seed of weights, splits and order")
    .option("--data-dir <folder>", "folder of the data files on this machine (DOWNPOUR_DATA_DIR)")
    .option("--port <port>", "port of the coordinator on this machine, 7070 without it")
    .option("--page-port <port>", "port of the live page on this machine, 4747 or any free one without it")
    .option("--plaintext", "without TLS and join token")
    .option("--monitoring", "with Prometheus and Grafana")
    .option("--gpu", "workers and evaluator on NVIDIA GPUs")
    .option("--file <file...>", "more compose files, which change what docker-compose.yml says")
    .option("--build", "build the image, even where there is one")
    .option("--detach", "return when training begins")
    .option("--set <path=value...>", "any other key of the job file")
    .action(async (job: string, options: UpOptions) =>
      done(await composeUp(job, options, config, readImageConfig(), reporter())),
    );

  program
    .command("ps")
    .description("list the containers of a cluster, and how they are")
    .option(...project)
    .action(async (options: ProjectOption) => await composeStatus(options, reporter()));

  program
    .command("scale")
    .description("start workers in containers, or drain some, until there are so many")
    .argument("<workers>", `0 to ${workersMax}`)
    .option(...project)
    .action(
      async (workers: string, options: ProjectOption) =>
        await composeScale(workers, options, config, reporter()),
    );

  program
    .command("logs")
    .description("show what the containers of a cluster wrote")
    .argument("[services...]", "coordinator, server-1, server-2, worker, evaluator, nats; all without one")
    .option(...project)
    .option("--follow", "go on as they write")
    .option("--tail <lines>", "lines of each container, or all", "50")
    .action(
      async (services: string[], options: ProjectOption & { follow?: boolean; tail: string }) =>
        await composeLogs(services, options, config, reporter()),
    );

  program
    .command("down")
    .description("end a cluster: stop its containers, in good order, and remove them and their networks")
    .option(...project)
    .option("--volumes", "remove volumes too: runs, certificates, downloads")
    .action(
      async (options: ProjectOption & { volumes?: boolean }) =>
        await composeDown(options, config, reporter()),
    );
}

/** `downpour ps`: the containers of a cluster. @throws environment: no engine; notFound: no such cluster */
export async function composeStatus({ project }: ProjectOption, reporter: Reporter): Promise<void> {
  await findEngine();
  const containers = await running(project);
  const rows = containers.map((container) => [container.name, stateText(container), container.healthText]);
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const lines = rows.map(
    ([name = "", state = "", text = ""]) =>
      `${name.padEnd(widths[0] ?? 0)}  ${state.padEnd(widths[1] ?? 0)}  ${text}`,
  );
  reporter.result(
    { project, containers },
    lines.map((line) => line.trimEnd()),
  );
}

async function composeScale(
  text: string,
  { project }: ProjectOption,
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const workers = integerOption("workers", text, 0, workersMax);
  const engine = await findEngine();
  const containers = await running(project);
  const coordinator = containers.find(({ service }) => service === "coordinator");
  if (coordinator?.state !== "running") {
    throw new DownpourError("usage", `the job of ${project} has ended: downpour up JOB starts another one`);
  }
  const before = containers.filter(
    ({ service, state }) => service === "worker" && state === "running",
  ).length;
  const compose = new ComposeRunner(await readProject(config.cacheDirectory, project), engine);
  reporter.note(
    workers < before ? `draining ${before - workers} workers` : `starting ${workers - before} workers`,
  );
  await compose.scale(workers, () => undefined);
  reporter.result({ project, workersBefore: before, workers }, [
    `${project} has ${workers} workers, ${before} before`,
  ]);
}

async function composeLogs(
  services: readonly string[],
  options: ProjectOption & { follow?: boolean; tail: string },
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const tail = options.tail === "all" ? "all" : String(integerOption("--tail", options.tail, 0, 1_000_000));
  const engine = await findEngine();
  await running(options.project);
  const compose = new ComposeRunner(await readProject(config.cacheDirectory, options.project), engine);
  await compose.logs(services, options.follow === true, tail, (line) => reporter.result({ line }, [line]));
}

async function composeDown(
  { project, volumes = false }: ProjectOption & { volumes?: boolean },
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const engine = await findEngine();
  const settings = await readProject(config.cacheDirectory, project);
  const before = await containersOf(project);
  reporter.note(`stopping ${before.length} containers`);
  await new ComposeRunner(settings, engine).down(volumes, () => undefined);
  const left = await containersOf(project);
  if (left.length > 0) {
    const names = left.map(({ name }) => name).join(", ");
    throw new DownpourError(
      "environment",
      `these containers are still there: ${names}; docker rm --force removes them`,
    );
  }
  await forgetProject(config.cacheDirectory, project);
  const kept = volumes ? "" : "; volumes are kept (--volumes removes them, with runs and certificates)";
  reporter.result({ project, removed: before.length, volumes }, [`${project} is down${kept}`]);
}

/** @throws notFound: the cluster has no container */
async function running(project: string): Promise<Container[]> {
  const containers = await containersOf(checkProjectName(project));
  if (containers.length > 0) return containers;
  throw new DownpourError(
    "notFound",
    `there is no cluster ${project} on this Docker engine: downpour up JOB starts one`,
  );
}

function stateText({ state, health, exitCode, outOfMemory, restarts }: Container): string {
  const again = restarts === 0 ? "" : `, restarted ${restarts} times`;
  if (state === "running") return `running${health === undefined ? "" : `, ${health}`}${again}`;
  if (state !== "exited") return state;
  if (outOfMemory) return "out of memory";
  return exitCode === 0 ? "done" : `failed, status ${exitCode}${again}`;
}
