import { access, mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, isAbsolute, join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import { defaultPagePort, type Job, readJob } from "@downpour/job";
import type { JobSummary } from "@downpour/protocol";
import { stringify } from "yaml";
import { integerOption } from "../bench/options.ts";
import { type Container, containersOf } from "../compose/containers.ts";
import { docker } from "../compose/docker.ts";
import { findEngine, hasImage } from "../compose/engine.ts";
import { followJob } from "../compose/follow.ts";
import { checkProjectName, keepProject, type Project, type ProjectSettings } from "../compose/project.ts";
import { ComposeRunner } from "../compose/run-compose.ts";
import type { CliConfig } from "../config.ts";
import { percentText } from "../progress-text.ts";
import type { Reporter } from "../reporter.ts";
import { stopSignal } from "../stop-signal.ts";
import { overridesOf, type TrainOptions } from "./train-options.ts";

/** Options of `downpour up`, as text. */
export interface UpOptions extends Pick<TrainOptions, "workers" | "epochs" | "seed" | "set" | "port"> {
  readonly project: string;
  readonly dataDir?: string;
  readonly pagePort?: string;
  readonly plaintext?: boolean;
  readonly monitoring?: boolean;
  readonly gpu?: boolean;
  readonly file?: readonly string[];
  readonly build?: boolean;
  readonly detach?: boolean;
}

/** Servers of docker-compose.yml. */
const composeServers = 2;

/** A container that fails at once is given up by its restart policy within this. */
const giveUpMs = 30_000;

/** A coordinator whose job has ended gets so long to write the results and end. */
const resultsMs = 60_000;

/** Image of all roles, where DOWNPOUR_IMAGE names no other. */
const defaultImages = { cpu: "downpour:latest", gpu: "downpour:gpu" } as const;

/**
 * `downpour up JOB`: starts a cluster in containers, and follows its job to the end, or with `--detach` until training
 * begins. An interrupt ends the following; the cluster goes on.
 */
export async function composeUp(
  jobFile: string,
  options: UpOptions,
  config: CliConfig,
  images: { readonly cpu: string | undefined; readonly gpu: string | undefined },
  reporter: Reporter,
): Promise<number> {
  const name = checkProjectName(options.project);
  const { dataDir: _, ...jobOptions } = options;
  const finding = findEngine();
  // What is wrong with the job is said first.
  finding.catch(() => undefined);
  const job = await readJob(jobFile, overridesOf(jobOptions, {}));
  refuseOtherServers(job);
  const engine = await finding;
  await refuseRunning(name);
  const run = `${job.name}-${new Date().toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-")}`;
  const dataDirectory = options.dataDir ?? config.dataDirectory;
  if (dataDirectory !== undefined) await refuseMissing(dataDirectory);
  const pagePort = await pagePortOf(options);
  const project = await keepProject(config.cacheDirectory, name, jobText(job), (file) =>
    settingsOf(options, { jobFile: file, run, dataDirectory, pagePort }),
  );
  const compose = new ComposeRunner(project, engine);
  const gpu = options.gpu === true;
  const needed = [images.cpu ?? defaultImages.cpu, ...(gpu ? [images.gpu ?? defaultImages.gpu] : [])];
  if (options.build === true || !(await haveAll(needed))) {
    reporter.note(`building ${needed.join(" and ")}; the first time this takes some minutes`);
    await compose.build(gpu, (line) => {
      if (/^(Step \d+|#\d+ \[)/.test(line)) reporter.note(line);
    });
  }
  const { workers } = job.cluster;
  reporter.note(
    `${job.name}: ${job.model.name} on ${job.data.set.name}; starting ${workers} workers, ${composeServers} servers`,
  );
  const stop = stopSignal();
  const runFolder = `/runs/${run}`;
  try {
    await compose.up(workers, (line) => {
      if (/(done|Started|Healthy|Exited)\s*$/i.test(line)) reporter.note(line.trim());
    });
  } catch (error) {
    // A dependency that failed says more than compose does; one that is started again and again, when it has given up.
    const again = (await containersOf(name)).some(({ state }) => state === "restarting");
    const signal = AbortSignal.any([stop, AbortSignal.timeout(again ? giveUpMs : 1)]);
    await followJob({ project: name, runFolder, reporter, signal, until: "training" });
    throw error;
  }
  if (options.plaintext !== true && job.dashboard.enabled) await notePage(name, reporter);
  const until = options.detach === true ? "training" : "ended";
  const summary = await followJob({ project: name, runFolder, reporter, signal: stop, until });
  if (summary === undefined) return reportRunning(project, reporter);
  return await reportEnd(project, summary, reporter);
}

/** The port that people know, where this machine has it free; else what Docker finds. */
async function pagePortOf({ pagePort }: UpOptions): Promise<string> {
  if (pagePort !== undefined) return String(integerOption("--page-port", pagePort, 1, 65_535));
  return (await isFree(defaultPagePort)) ? String(defaultPagePort) : "";
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Says where the live page is, and how to get the token that it asks for. */
async function notePage(project: string, reporter: Reporter): Promise<void> {
  const coordinator = (await containersOf(project)).find(({ service }) => service === "coordinator");
  if (coordinator === undefined) return;
  const { stdout } = await docker("port", coordinator.id, `${defaultPagePort}/tcp`);
  const address = stdout.split("\n")[0]?.trim();
  if (address === undefined || address === "") return;
  const token = `docker exec ${coordinator.name} cat /secrets/coordinator/join-token`;
  reporter.note(`live page: https://${address}/, which asks for the token: ${token}`);
}

async function haveAll(names: readonly string[]): Promise<boolean> {
  return (await Promise.all(names.map(hasImage))).every((has) => has);
}

function refuseOtherServers({ cluster }: Job): void {
  if (cluster.servers === composeServers) return;
  throw new DownpourError(
    "usage",
    `cluster.servers is ${cluster.servers}, and deploy/docker-compose.yml runs ${composeServers}: add --set ` +
      `cluster.servers=${composeServers}, or add servers to a compose file of your own (docs/deploy-compose.md)`,
  );
}

async function refuseRunning(name: string): Promise<void> {
  const running = (await containersOf(name)).filter(({ state }) => state === "running");
  const coordinator = running.find(({ service }) => service === "coordinator");
  if (coordinator === undefined) return;
  throw new DownpourError(
    "usage",
    `${name} runs a job already (${coordinator.name}): downpour down ends it; --project NAME starts another cluster beside it`,
  );
}

async function refuseMissing(folder: string): Promise<void> {
  await access(folder).catch((cause: unknown) => {
    throw new DownpourError("usage", `--data-dir ${folder}: there is no such folder on this machine`, {
      cause,
    });
  });
}

/** The job for members that find data files elsewhere than this machine has them. */
function jobText(job: Job): string {
  const { directory: _, ...data } = job.data;
  return `# The resolved job of this cluster.\n${stringify({ ...job, data })}`;
}

function settingsOf(
  { plaintext, monitoring, gpu, file = [], port }: UpOptions,
  facts: { jobFile: string; run: string; dataDirectory: string | undefined; pagePort: string },
): ProjectSettings {
  const overlays = Object.entries({ plaintext, monitoring, gpu })
    .filter(([, wanted]) => wanted === true)
    .map(([overlay]) => `compose.${overlay}.yml`);
  const { jobFile, run, dataDirectory, pagePort } = facts;
  return {
    files: ["docker-compose.yml", ...overlays, ...file.map((each) => resolve(each))],
    run,
    variables: {
      DOWNPOUR_JOB: jobFile,
      DOWNPOUR_RUN: run,
      DOWNPOUR_PAGE_PORT: pagePort,
      ...(dataDirectory === undefined ? {} : { DOWNPOUR_DATA_DIR: resolve(dataDirectory) }),
      ...(port === undefined ? {} : { DOWNPOUR_PORT: String(integerOption("--port", port, 1, 65_535)) }),
    },
  };
}

/** Commands that go on from here, with the project where it is not the usual one. */
function commandsOf({ name }: Project): string[] {
  const flag = name === "downpour" ? "" : ` --project ${name}`;
  return [
    `npx downpour ps${flag}          who runs, and how`,
    `npx downpour scale 4${flag}     4 workers, from now on`,
    `npx downpour logs --follow${flag}`,
    `npx downpour down${flag}        end it`,
  ];
}

function reportRunning(project: Project, reporter: Reporter): number {
  const { name, settings } = project;
  reporter.result({ outcome: "running", project: name, run: settings.run }, [
    `${name} trains on without this command:`,
    ...commandsOf(project).map((line) => `  ${line}`),
  ]);
  return 0;
}

/** The coordinator, when it has written the results: that is after everybody has heard of the end. */
async function endedCoordinator(project: string): Promise<Container | undefined> {
  const endMs = performance.now() + resultsMs;
  for (;;) {
    const coordinator = (await containersOf(project)).find(({ service }) => service === "coordinator");
    if (coordinator?.state !== "running" || performance.now() > endMs) return coordinator;
    await sleep(500);
  }
}

/** Copies the run to this machine, and says how the job ended. */
async function reportEnd(project: Project, summary: JobSummary, reporter: Reporter): Promise<number> {
  const { name, settings } = project;
  const coordinator = await endedCoordinator(name);
  const folder = join("runs", settings.run);
  await mkdir("runs", { recursive: true });
  const copied = await docker("cp", `${coordinator?.id}:/runs/${settings.run}`, folder);
  if (copied.status !== 0) reporter.warn(`the run could not be copied to ${folder}: ${copied.stderr.trim()}`);
  if (summary.outcome === "failed") {
    throw new DownpourError(
      "jobFailed",
      `${summary.message ?? "the job failed"} (npx downpour logs says more)`,
    );
  }
  const { modelDirectory } = summary;
  const model =
    modelDirectory === null ? null : join(folder, relative(`/runs/${settings.run}`, modelDirectory));
  reporter.result({ project: name, run: settings.run, ...summary, modelDirectory: model }, [
    `test accuracy ${percentText(summary.testAccuracy)}`,
    `model         ${model === null ? "–" : isAbsolute(model) ? basename(model) : model}`,
    `next          npx downpour down${name === "downpour" ? "" : ` --project ${name}`}, which removes the containers`,
  ]);
  return 0;
}
