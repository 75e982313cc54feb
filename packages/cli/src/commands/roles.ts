import { resolve } from "node:path";
import { DownpourError } from "@downpour/errors";
import { type Job, readJob } from "@downpour/job";
import { makeLogger } from "@downpour/logging";
import type { MetricsAddress } from "@downpour/metrics";
import { tellParent } from "../child-message.ts";
import type { CliConfig } from "../config.ts";
import { stopSignal } from "../stop-signal.ts";
import { deviceOption } from "./device-option.ts";
import { type IdentityOptions, identityOf } from "./identity-options.ts";

/* Each role is loaded when it is run: a server needs no TensorFlow, and starts the sooner for it. */

/** Options that every role takes, as text. */
export interface RoleOptions extends IdentityOptions {
  readonly logFile?: string;
  readonly host: string;
  readonly port: string;
  readonly coordinator: string;
  readonly connectTimeout: string;
  readonly dataDir?: string;
  readonly device?: string;
  readonly advertise?: string;
  readonly metricsHost: string;
  readonly metricsPort?: string;
}

/** `downpour coordinator JOB`. */
export async function coordinatorRole(
  jobFile: string,
  options: Pick<
    RoleOptions,
    "logFile" | "host" | "port" | "tlsDir" | "joinTokenFile" | "metricsHost" | "metricsPort"
  > & {
    readonly runDir: string;
    /** Begin with the newest checkpoint, or with the one named. */
    readonly resume?: true | string;
    readonly pageHost?: string;
    readonly pagePort?: string;
  },
): Promise<void> {
  const { runCoordinator } = await import("@downpour/coordinator");
  const job = withPageAt(await readJob(jobFile), options);
  const runDirectory = resolve(options.runDir);
  const { resume } = options;
  await runCoordinator({
    job,
    runDirectory,
    host: options.host,
    port: integerOption("--port", options.port, 0, 65_535),
    logger: makeLogger("coordinator", options.logFile),
    signal: stopSignal(),
    identity: identityOf(options),
    metrics: metricsOf(options),
    resume: typeof resume === "string" ? { checkpoint: resume } : resume,
    onListening: (address) => tellParent({ type: "listening", address }),
    onPage: (url) => tellParent({ type: "page", url }),
  });
}

/** The page listens elsewhere than the job says: in a container, for example. */
function withPageAt(job: Job, { pageHost, pagePort }: { pageHost?: string; pagePort?: string }): Job {
  const dashboard = {
    ...job.dashboard,
    ...(pageHost === undefined ? {} : { host: pageHost }),
    ...(pagePort === undefined ? {} : { port: integerOption("--page-port", pagePort, 1, 65_535) }),
  };
  return { ...job, dashboard };
}

/** `downpour server`. */
export async function serverRole(options: RoleOptions): Promise<void> {
  const { runParameterServer } = await import("@downpour/parameter-server");
  await runParameterServer({
    coordinatorAddress: options.coordinator,
    host: options.host,
    port: integerOption("--port", options.port, 0, 65_535),
    advertise: advertisedAddress(options),
    metrics: metricsOf(options),
    connectTimeoutMs: connectTimeoutMs(options),
    logger: makeLogger("server", options.logFile),
    identity: identityOf(options),
    signal: stopSignal(),
  });
}

/** `downpour worker` and `downpour evaluator`. */
export async function memberRole(
  role: "worker" | "evaluator",
  options: RoleOptions,
  config: CliConfig,
): Promise<void> {
  const { runMember } = await import("@downpour/worker");
  await runMember({
    role,
    coordinatorAddress: options.coordinator,
    connectTimeoutMs: connectTimeoutMs(options),
    logFile: options.logFile,
    identity: identityOf(options),
    metrics: metricsOf(options),
    cacheDirectory: config.cacheDirectory,
    dataDirectory: options.dataDir ?? config.dataDirectory,
    device: deviceOption(options.device ?? config.device),
    onNotice: (text) => tellParent({ type: "notice", text }),
    signal: stopSignal(),
  });
}

/** Where metrics and health are shown; nowhere without a port. */
function metricsOf(options: Pick<RoleOptions, "metricsHost" | "metricsPort">): MetricsAddress | undefined {
  const { metricsHost: host, metricsPort } = options;
  if (metricsPort === undefined) return undefined;
  return { host, port: integerOption("--metrics-port", metricsPort, 0, 65_535) };
}

function advertisedAddress({ advertise }: Pick<RoleOptions, "advertise">): string | undefined {
  if (advertise === undefined) return undefined;
  const port = Number(/^[^\s/]+:(\d+)$/.exec(advertise)?.[1]);
  if (port >= 1 && port <= 65_535) return advertise;
  throw new DownpourError(
    "usage",
    `--advertise ${advertise}: expected host:port under which workers reach this server, such as server-1:7071`,
  );
}

function connectTimeoutMs(options: RoleOptions): number {
  return integerOption("--connect-timeout", options.connectTimeout, 1, 86_400) * 1000;
}

function integerOption(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new DownpourError("usage", `${name} ${text}: expected an integer of ${min} to ${max}`);
  }
  return value;
}
