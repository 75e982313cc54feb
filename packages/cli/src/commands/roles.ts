import { resolve } from "node:path";
import { DownpourError } from "@downpour/errors";
import { type Device, devices, readJob } from "@downpour/job";
import { makeLogger } from "@downpour/logging";
import type { IdentityFiles } from "@downpour/protocol";
import { tellParent } from "../child-message.ts";
import type { CliConfig } from "../config.ts";
import { stopSignal } from "../stop-signal.ts";

/* Each role is loaded when it is run: a server needs no TensorFlow, and starts the sooner for it. */

/** Options that every role takes, as text. */
export interface RoleOptions {
  readonly logFile?: string;
  readonly host: string;
  readonly port: string;
  readonly coordinator: string;
  readonly connectTimeout: string;
  readonly tlsDir?: string;
  readonly joinTokenFile?: string;
  readonly dataDir?: string;
  readonly device?: string;
}

/** `downpour coordinator JOB`. */
export async function coordinatorRole(
  jobFile: string,
  options: Pick<RoleOptions, "logFile" | "host" | "port" | "tlsDir" | "joinTokenFile"> & {
    readonly runDir: string;
    /** Begin with the newest checkpoint, or with the one named. */
    readonly resume?: true | string;
  },
): Promise<void> {
  const { runCoordinator } = await import("@downpour/coordinator");
  const job = await readJob(jobFile);
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
    resume: typeof resume === "string" ? { checkpoint: resume } : resume,
    onListening: (address) => tellParent({ type: "listening", address }),
  });
}

/** `downpour server`. */
export async function serverRole(options: RoleOptions): Promise<void> {
  const { runParameterServer } = await import("@downpour/parameter-server");
  await runParameterServer({
    coordinatorAddress: options.coordinator,
    host: options.host,
    port: integerOption("--port", options.port, 0, 65_535),
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
    cacheDirectory: config.cacheDirectory,
    dataDirectory: options.dataDir ?? config.dataDirectory,
    device: deviceOption(options.device ?? config.device),
    onNotice: (text) => tellParent({ type: "notice", text }),
    signal: stopSignal(),
  });
}

function identityOf({
  tlsDir,
  joinTokenFile,
}: Pick<RoleOptions, "tlsDir" | "joinTokenFile">): IdentityFiles | undefined {
  if (tlsDir !== undefined) return { tlsDirectory: tlsDir, joinTokenFile };
  if (joinTokenFile === undefined) return undefined;
  throw new DownpourError(
    "usage",
    `--join-token-file ${joinTokenFile}: a join token is sent over TLS only; name the certificates with --tls-dir, too`,
  );
}

function deviceOption(text: string | undefined): Device | undefined {
  if (text === undefined) return undefined;
  const known = devices.find((device) => device === text);
  if (known !== undefined) return known;
  throw new DownpourError(
    "usage",
    `--device ${text}: expected one of ${devices.join(", ")} (DOWNPOUR_DEVICE too)`,
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
