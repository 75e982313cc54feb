// What bench/compose.mjs runs: `downpour up` and its events, the engine, and the live page's API.
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import https from "node:https";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { environmentWith } from "./config.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));
const command = path.join(root, "packages/cli/bin/downpour.js");
const project = `downpour-bench-${process.pid}`;
const port = String(20_000 + (process.pid % 10_000));
const pagePort = String(30_000 + (process.pid % 10_000));

/** What the coordinator prints as progress, about once a second. */
const settleMs = 5000;

/** @param {readonly string[]} args */
export function docker(...args) {
  const { status, stdout, stderr } = spawnSync("docker", args, { encoding: "utf8", maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`docker ${args.join(" ")}: ${stderr.trim()}`);
  return stdout.trim();
}

/** Containers, networks and processes of the project that are still there. */
export function remains() {
  const label = ["--quiet", "--filter", `label=com.docker.compose.project=${project}`];
  const count = (text) => text.split("\n").filter((line) => line !== "").length;
  return {
    containers: count(docker("ps", "--all", ...label)),
    networks: count(docker("network", "ls", ...label)),
    processes: count(spawnSync("pgrep", ["-f", project], { encoding: "utf8" }).stdout),
  };
}

/** One cluster that trains one job, and everything that its coordinator says. */
export class ComposeCluster {
  /** @type {any[]} */
  events = [];
  #child;
  #ended;
  #folder;
  startMs = Date.now();

  /**
   * @param {string} folder for the job file and the run
   * @param {object} job
   * @param {{ args?: readonly string[], env?: Record<string, string> }} [options]
   */
  constructor(folder, job, { args = [], env = {} } = {}) {
    this.#folder = folder;
    const file = path.join(folder, "job.yaml");
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(job));
    this.#child = this.#spawn(
      ["--json", "up", file, "--project", project, "--port", port, "--page-port", pagePort, ...args],
      env,
    );
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      if (line.startsWith("{")) this.events.push(JSON.parse(line));
    });
    let said = "";
    this.#child.stderr.setEncoding("utf8").on("data", (text) => {
      said += text;
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once("close", (status) => resolve({ status, said: said.slice(-2000) }));
    });
  }

  /** @param {readonly string[]} args */
  #spawn(args, env = {}) {
    return spawn(process.execPath, [command, ...args], {
      cwd: this.#folder,
      env: environmentWith({ ...env, DOWNPOUR_CACHE_DIR: path.join(this.#folder, "cache") }),
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Runs another command for the cluster to its end. @param {readonly string[]} args */
  async #run(...args) {
    const child = this.#spawn([...args, "--project", project]);
    child.stdout.resume();
    child.stderr.pipe(process.stderr);
    return await new Promise((resolve) => child.once("close", resolve));
  }

  /** The first event of which this is true, from `from` on. @param {(event: any) => boolean} is */
  async event(is, from = 0, timeoutMs = 900_000) {
    const giveUpMs = Date.now() + timeoutMs;
    for (;;) {
      const found = this.events.slice(from).find(is);
      if (found !== undefined) return found;
      const ended = await Promise.race([this.#ended, sleep(50)]);
      if (ended !== undefined && !this.events.slice(from).some(is)) {
        throw new Error(`the cluster ended without it (status ${ended.status}): ${this.#lastWords()}`);
      }
      if (Date.now() > giveUpMs) throw new Error("nothing of the kind happened in time");
    }
  }

  /** Examples per second over so many seconds, from when the cluster has settled. @param {number} seconds */
  async rate(seconds) {
    const beginMs = Date.now() + settleMs;
    const from = this.events.length;
    const isProgress = ({ type, timeMs }, atMs) => type === "progress" && timeMs >= atMs;
    const first = await this.event((event) => isProgress(event, beginMs), from);
    const last = await this.event((event) => isProgress(event, first.timeMs + 1000 * seconds), from);
    return (1000 * (last.examplesCounted - first.examplesCounted)) / (last.timeMs - first.timeMs);
  }

  /** @param {number} workers */
  async scale(workers) {
    await this.#run("scale", String(workers));
    const from = this.events.length;
    await this.event(({ type, workers: now }) => type === "progress" && now === workers, from);
  }

  /** The process id of a service's container on this machine, when it runs. @param {string} service */
  async pidOf(service) {
    const filters = [
      `label=com.docker.compose.project=${project}`,
      `label=com.docker.compose.service=${service}`,
    ];
    for (;;) {
      const id = docker("ps", "--quiet", ...filters.flatMap((filter) => ["--filter", filter]));
      if (id !== "") return docker("inspect", "--format", "{{.State.Pid}}", id);
      const ended = await Promise.race([this.#ended, sleep(200)]);
      if (ended !== undefined) throw new Error(`the cluster ended without ${service}: ${this.#lastWords()}`);
    }
  }

  #lastWords() {
    return JSON.stringify(this.events.at(-1) ?? null);
  }

  /** Ends the job in order, through the live page's API. */
  async stopJob() {
    const name = docker(
      ...["ps", "--format", "{{.Names}}", "--filter", `label=com.docker.compose.project=${project}`],
      ...["--filter", "label=com.docker.compose.service=coordinator"],
    );
    const token = docker("exec", name, "cat", "/secrets/coordinator/join-token");
    const ca = docker("exec", name, "cat", "/secrets/coordinator/ca.pem");
    const [address = ""] = docker("port", name, "4747/tcp").split("\n");
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const status = await new Promise((resolve, reject) => {
      const url = `https://${address}/api/v1/stop`;
      const request = https.request(url, { method: "POST", headers, ca }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      request.once("error", reject);
      request.end("{}");
    });
    if (status !== 200) throw new Error(`the page answered ${status}`);
  }

  /** Waits for the job's end. @returns the summary and the folder of the run, copied to this machine */
  async finish() {
    const { status, said } = await this.#ended;
    const summary = this.events.at(-1);
    if (status !== 0 || summary?.type !== "summary" || summary.outcome !== "finished") {
      throw new Error(`downpour up ended with status ${status}: ${JSON.stringify(summary)}\n${said}`);
    }
    return { summary, folder: path.join(this.#folder, "runs", summary.run) };
  }

  /** Removes everything. Returns what is left nevertheless. */
  async down() {
    this.#child.kill("SIGINT");
    await this.#ended;
    const startMs = Date.now();
    await this.#run("down", "--volumes");
    return { seconds: (Date.now() - startMs) / 1000, ...remains() };
  }
}
