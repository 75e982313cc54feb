import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "./ports.ts";
import { Role } from "./role.ts";
import { soakRecoveryTimeoutMs } from "./soak-job.ts";
import { isClientOf } from "./socket-owner.ts";
import { TcpProxy } from "./tcp-proxy.ts";

export interface FaultClusterOptions {
  /** Run directories and logs go below it. */
  readonly folder: string;
  readonly jobFile: string;
  readonly servers: number;
  readonly workers: number;
  /** Coordinators: one, or a leader and standbys, which need a store that they share. */
  readonly coordinators: number;
  /** Arguments of all roles, such as certificates. */
  readonly roleArgs?: readonly string[];
  /** Arguments of workers and evaluator, such as where the data are. */
  readonly memberArgs?: readonly string[];
  /** Servers are reached, and reach the coordinators, through networks that can be cut; else workers' only. */
  readonly serverNetworks?: boolean;
  /** Told what happens to roles. */
  readonly onNote?: (text: string) => void;
  readonly random?: () => number;
}

/** A role that died, or was told to end, is started again after so long, as an orchestrator does. */
const restartAfterMs = 1000;

/**
 * Roles that did not end so long after the job did are killed. A role that is started as the job ends finds nobody any
 * more, and gives up when its time to connect is over (60 s); a member that was stopped or cut off while the job ended, when
 * the time is over in which others may come back.
 */
const endGraceMs = soakRecoveryTimeoutMs + 30_000;

/**
 * All roles of a job as real processes, each started again when it dies. Every worker reaches the coordinators through
 * networks of its own, which can be cut; and so do servers, where that is asked for, which then advertise an address
 * behind which there is such a network, too.
 */
export class FaultCluster {
  readonly #options: FaultClusterOptions;
  readonly #roles = new Map<string, Role>();
  /** By role: its ways to the coordinators. */
  readonly #networks = new Map<string, TcpProxy[]>();
  /** By server: the way of everybody to it. */
  readonly #doors = new Map<string, TcpProxy>();
  #coordinators: string[] = [];
  #ending = false;
  #watching: Promise<void>[] = [];

  constructor(options: FaultClusterOptions) {
    this.#options = options;
  }

  /** Addresses of all coordinators, with commas between. */
  get coordinatorAddresses(): string {
    return this.#coordinators.join(",");
  }

  /** Names of the roles of a kind: "server", "worker", "coordinator", "evaluator". */
  names(kind: string): string[] {
    return [...this.#roles.keys()].filter((name) => name.startsWith(`${kind}-`));
  }

  role(name: string): Role {
    const role = this.#roles.get(name);
    if (role === undefined) throw new Error(`the cluster has no role ${name}`);
    return role;
  }

  /** A worker's ways to the coordinators. */
  networks(worker: string): readonly TcpProxy[] {
    return this.#networks.get(worker) ?? [];
  }

  /**
   * Cuts the network between two roles, and no other; connections stay open, and nobody is told. Between servers, and
   * between them and others, it takes `serverNetworks`.
   * @returns heals it; before, the ways that it concerns can't be cut for others
   */
  cut(one: string, other: string): () => void {
    const cut = [...this.#cutFrom(one, other), ...this.#cutFrom(other, one)];
    if (cut.length === 0) throw new Error(`there is no network between ${one} and ${other} that can be cut`);
    return () => {
      for (const network of cut) network.heal();
    };
  }

  /** @returns the networks through which a client reaches another role */
  #cutFrom(client: string, to: string): TcpProxy[] {
    const way = this.#networks.get(client)?.[this.names("coordinator").indexOf(to)];
    way?.partition();
    const door = this.#doors.get(to);
    door?.partition((port) => isClientOf(this.role(client).pids.slice(-1), port));
    return [way, door].filter((network) => network !== undefined);
  }

  /** All process ids that roles ever had. */
  get pids(): number[] {
    return [...this.#roles.values()].flatMap((role) => role.pids);
  }

  async start(): Promise<void> {
    const { folder, jobFile, servers, workers, coordinators } = this.#options;
    const { roleArgs = [], memberArgs = [], serverNetworks = false } = this.#options;
    const logs = join(folder, "logs");
    mkdirSync(logs, { recursive: true });
    const ports = await freePorts(coordinators);
    this.#coordinators = ports.map((port) => `127.0.0.1:${port}`);
    const add = (name: string, args: readonly string[]) => {
      this.#roles.set(name, new Role(name, [...args, ...roleArgs], logs));
    };
    for (const [i, port] of ports.entries()) {
      const run = ["--run-dir", join(folder, `run-${i + 1}`)];
      add(`coordinator-${i + 1}`, ["coordinator", jobFile, ...run, "--port", `${port}`]);
    }
    const joining = ["--coordinator", this.coordinatorAddresses];
    for (let i = 1; i <= servers; i++) {
      const name = `server-${i}`;
      add(name, ["server", ...(serverNetworks ? await this.#serverBehindNetworks(name) : joining)]);
    }
    add("evaluator-1", ["evaluator", ...joining, ...memberArgs]);
    for (let i = 1; i <= workers; i++) {
      const name = `worker-${i}`;
      add(name, ["worker", ...(await this.#joinThroughNetworks(name)), ...memberArgs]);
    }
    for (const role of this.#roles.values()) {
      role.start();
      this.#watching.push(this.#keepRunning(role));
    }
  }

  /** The job is over: nothing is started again. Resolves when all roles have ended; tells which had to be killed. */
  async end(): Promise<string[]> {
    this.#ending = true;
    const roles = [...this.#roles.values()];
    for (const role of roles) if (role.isSuspended) role.resume();
    const all = Promise.all(roles.map((role) => role.end));
    await Promise.race([all, sleep(endGraceMs, undefined, { ref: false })]);
    const left = roles.filter((role) => role.isRunning);
    for (const role of left) role.signal("SIGKILL");
    await Promise.all(this.#watching);
    for (const network of [...this.#networks.values(), ...this.#doors.values()].flat()) await network.close();
    return left.map(({ name }) => name);
  }

  /** Ends everything now. */
  async abort(): Promise<void> {
    this.#ending = true;
    for (const role of this.#roles.values()) role.signal("SIGKILL");
    await this.end();
  }

  /** @returns arguments of a role that reaches the coordinators through networks of its own */
  async #joinThroughNetworks(name: string): Promise<string[]> {
    const { random } = this.#options;
    const ways = await Promise.all(this.#coordinators.map((address) => TcpProxy.listen(address, random)));
    this.#networks.set(name, ways);
    return ["--coordinator", ways.map((way) => way.address).join(",")];
  }

  /** @returns arguments of a server that is also reached through one */
  async #serverBehindNetworks(name: string): Promise<string[]> {
    const [port = 0] = await freePorts(1);
    const door = await TcpProxy.listen(`127.0.0.1:${port}`, this.#options.random);
    this.#doors.set(name, door);
    return [...(await this.#joinThroughNetworks(name)), "--port", `${port}`, "--advertise", door.address];
  }

  async #keepRunning(role: Role): Promise<void> {
    while (!this.#ending) {
      const { status, signal } = await role.end;
      // Status 0 of itself: for this role the job is over.
      if (this.#ending || (status === 0 && !role.wasToldToEnd)) return;
      this.#options.onNote?.(`${role.name} ended (${signal ?? status}); it is started again`);
      await sleep(restartAfterMs);
      if (!this.#ending) role.start();
    }
    await role.end;
  }
}
