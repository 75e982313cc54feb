import { DownpourError, type ErrorCode } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { IdentityFiles } from "@downpour/protocol";
import type { Cores } from "./pinning.ts";
import { type RoleExit, type RoleProcess, startRole } from "./role-process.ts";

export interface LocalClusterOptions {
  readonly job: Job;
  /** The resolved job, as the coordinator reads it. */
  readonly jobFile: string;
  readonly runDirectory: string;
  readonly logDirectory: string;
  /** Certificates and join token of the cluster, for all roles; plain text when left out. */
  readonly identity?: IdentityFiles | undefined;
  /** The coordinator begins with the newest checkpoint. */
  readonly resume?: boolean;
  /** A role was replaced, or something else that people should know. */
  readonly onWarning: (text: string) => void;
  /** The live page is there. */
  readonly onPage?: (url: string) => void;
  /** The cores of a role, by its name ("worker-2"); any when left out or undefined. */
  readonly coresOf?: (name: string) => Cores | undefined;
}

/** Children that did not end so long after SIGTERM are killed. */
const stopGraceMs = 3000;

/** A replaced worker or evaluator would fail in the same way for these reasons. */
const permanentCodes: readonly ErrorCode[] = [
  "usage",
  "invalidArgument",
  "failedPrecondition",
  "unauthenticated",
  "permissionDenied",
  "notFound",
  "corruptData",
  "environment",
];

/**
 * All roles of one job as child processes of this one: coordinator, servers, evaluator, workers. One that dies is
 * replaced, a bounded number of times. A coordinator comes back on its port and goes on from its store; a server joins
 * again and gets its slices from replicas or from a checkpoint.
 */
export class LocalCluster {
  readonly #options: LocalClusterOptions;
  readonly #running = new Set<RoleProcess>();
  readonly #noticed = new Set<string>();
  readonly #started = new Map<string, number>();
  /** By budget: workers and evaluator share one, servers and coordinator another. */
  readonly #restartsLeft: { workers: number; servers: number };
  #stopping = false;
  #coordinatorAddress = "";
  #fail: (error: DownpourError) => void = () => undefined;
  /** Rejects when the cluster can't go on. */
  readonly failed: Promise<never>;

  constructor(options: LocalClusterOptions) {
    this.#options = options;
    const { workerRestartsMax, serverRestartsMax } = options.job.cluster;
    this.#restartsLeft = { workers: workerRestartsMax, servers: serverRestartsMax };
    this.failed = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined); // it may fail while nobody looks, during the stop
  }

  /** Starts all roles. Returns the coordinator's address as soon as it listens. */
  async start(): Promise<string> {
    const { job, jobFile, runDirectory } = this.#options;
    const { host, port, servers, workers } = job.cluster;
    // Said outright, so that the environment of the launcher does not decide otherwise.
    const compute = ["--device", job.worker.device];
    if (job.data.directory !== undefined) compute.push("--data-dir", job.data.directory);
    const listen = ["--host", host, ...this.#identityArgs()];
    const coordinatorArgs = ["coordinator", jobFile, "--run-dir", runDirectory, ...listen];
    if (this.#options.resume) coordinatorArgs.push("--resume");
    this.#coordinatorAddress = await this.#startCoordinator(coordinatorArgs, port);
    if (this.#stopping) return this.#coordinatorAddress;
    for (let i = 0; i < servers; i++) this.#startMember("server", listen);
    const computing = [...compute, ...this.#identityArgs()];
    this.#startMember("evaluator", computing);
    for (let i = 0; i < workers; i++) this.#startMember("worker", computing);
    return this.#coordinatorAddress;
  }

  /** The processes that run now. */
  get running(): readonly RoleProcess[] {
    return [...this.#running];
  }

  /** Resolves when all roles have ended by themselves, at most after `patienceMs`. */
  async settle(patienceMs: number): Promise<void> {
    this.#stopping = true;
    const all = Promise.all(this.running.map((role) => role.exit));
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, patienceMs).unref())]);
  }

  /** Ends all roles: SIGTERM, then SIGKILL for those that do not listen. Resolves when none is left. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const role of this.#running) role.kill("SIGTERM");
    const timer = setTimeout(() => {
      for (const role of this.#running) role.kill("SIGKILL");
    }, stopGraceMs);
    while (this.#running.size > 0) await Promise.all(this.running.map((role) => role.exit));
    clearTimeout(timer);
  }

  #identityArgs(): string[] {
    const { identity } = this.#options;
    if (identity === undefined) return [];
    const token = identity.joinTokenFile === undefined ? [] : ["--join-token-file", identity.joinTokenFile];
    return ["--tls-dir", identity.tlsDirectory, ...token];
  }

  /**
   * Starts a coordinator; one that takes its place listens on the same port. Returns its address.
   * @param address of the one whose place it takes
   */
  async #startCoordinator(
    args: readonly string[],
    port: number | undefined,
    address?: string,
  ): Promise<string> {
    const role = this.#start("coordinator", port === undefined ? args : [...args, "--port", String(port)]);
    const listening = Promise.race([role.listening.catch(() => this.failed), this.failed]);
    let known = address;
    void role.exit.then((exit) => {
      if (this.#stopping || exit.status === 0) return;
      // What keeps the first one from listening would keep the next one, too.
      if (known === undefined) this.#fail(exitError(role, exit));
      if (known === undefined || !this.#mayReplace(role, exit)) return;
      // What it had begun with a checkpoint is in its store by now.
      const again = args.filter((arg) => arg !== "--resume");
      this.#startCoordinator(again, Number(known.split(":").at(-1)), known).catch(() => undefined);
    });
    known = await listening;
    return known;
  }

  #startMember(kind: "server" | "worker" | "evaluator", args: readonly string[]): void {
    const number = (this.#started.get(kind) ?? 0) + 1;
    this.#started.set(kind, number);
    const role = this.#start(`${kind}-${number}`, [kind, "--coordinator", this.#coordinatorAddress, ...args]);
    void role.exit.then((exit) => {
      if (!this.#stopping && exit.status !== 0 && this.#mayReplace(role, exit)) this.#startMember(kind, args);
    });
  }

  #start(name: string, args: readonly string[]): RoleProcess {
    const { logDirectory, coresOf } = this.#options;
    const hear = (message: Parameters<Parameters<typeof startRole>[3]>[0]) =>
      message.type === "page" ? this.#options.onPage?.(message.url) : this.#warnOnce(message.text);
    const role = startRole(name, args, logDirectory, hear, coresOf?.(name));
    this.#running.add(role);
    void role.exit.then(() => this.#running.delete(role));
    return role;
  }

  /** Says what a member noticed; what all of them notice is said once. */
  #warnOnce(text: string): void {
    if (this.#noticed.has(text)) return;
    this.#noticed.add(text);
    this.#options.onWarning(text);
  }

  /** Whether a dead role is replaced; otherwise the job may have to fail. */
  #mayReplace(role: RoleProcess, exit: RoleExit): boolean {
    const error = exitError(role, exit);
    if (exit.failure !== undefined && permanentCodes.includes(exit.failure.code)) {
      this.#fail(error);
      return false;
    }
    const kind = role.name.split("-")[0] as string;
    const computes = kind === "worker" || kind === "evaluator";
    const budget = computes ? "workers" : "servers";
    if (this.#restartsLeft[budget] > 0) {
      this.#restartsLeft[budget]--;
      this.#options.onWarning(`${error.message}; starting another one in its place`);
      return true;
    }
    if (computes && this.running.some((other) => other.name.startsWith(kind))) {
      this.#options.onWarning(`${error.message}; going on with the others`);
    } else {
      this.#fail(error);
    }
    return false;
  }
}

function exitError(role: RoleProcess, { status, signal, failure }: RoleExit): DownpourError {
  if (failure !== undefined) return new DownpourError(failure.code, `${role.name}: ${failure.message}`);
  const how = signal === null ? `ended with status ${status}` : `was ended by ${signal}`;
  return new DownpourError("jobFailed", `${role.name} ${how} (log: ${role.logFile})`);
}
