import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readPushAccount } from "@downpour/faults";
import { parseJob, readJob } from "@downpour/job";
import { connectCoordinator, loadIdentity } from "@downpour/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  askPage,
  buildImage,
  containersNow,
  docker,
  images,
  metricsOf,
  provideBuildInputs,
  provideImage,
  reachesRegistry,
  reasonToSkip,
  sample,
} from "./engine.ts";
import { containersOf, leftOf } from "./inspect.ts";

const skipped = reasonToSkip();
const project = `downpour-test-${process.pid}`;
const command = fileURLToPath(new URL("../../packages/cli/bin/downpour.js", import.meta.url));
const overlays = ["far.yml", "no-grafana.yml"].map((name) => fileURLToPath(new URL(name, import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), "downpour-compose-"));
const port = String(20_000 + (process.pid % 10_000));
const pagePort = String(40_000 + (process.pid % 10_000));
const prometheusPort = String(30_000 + (process.pid % 10_000));
/** Options of `up`. */
const inBackground = ["--project", project, "--port", port, "--page-port", pagePort, "--detach"];

/** Long enough that it is ended from outside, when all has been tried. */
const jobText = `
name: compose
seed: 7
data:
  set: { name: digits, trainCount: 6400, testCount: 1000 }
  validation: 400
  batchSize: 25
  shardBatches: 4
model: { name: lenet5 }
optimizer: { name: momentum, momentum: 0.8 }
learningRate: { initial: 0.03 }
training: { epochs: 1000 }
cluster:
  workers: 2
  servers: 2
  # For machines that are busy with much else.
  heartbeatIntervalMs: 5000
  memberTimeoutMs: 40000
  leaseMs: 60000
  startTimeoutMs: 900000
  requestTimeoutMs: 60000
`;
const jobFile = join(folder, "job.yaml");

const buildsImage = process.env.DOWNPOUR_TEST_BUILD !== "0";
/** Why the tests can't be run after all. */
let lacking: string | undefined;

/** What has not begun by then is left out; undefined: all of it is run. */
const minutes = process.env.DOWNPOUR_TEST_COMPOSE_MINUTES;
const beganMs = performance.now();

/** Whole milliseconds that are left, at least one; undefined: as many as it takes. */
function leftMs(): number | undefined {
  return minutes === undefined
    ? undefined
    : Math.max(1, Math.round(beganMs + 60_000 * Number(minutes) - performance.now()));
}

/** The key that came with servers that restart from a checkpoint. */
const serversRestart = "checkpoint" in parseJob(jobText, "the test's job");

/** One entry of an answer of Prometheus. */
interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
  readonly labels?: Readonly<Record<string, string>>;
}

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command to its end, as a user does. */
function downpour(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const places = { DOWNPOUR_CACHE_DIR: join(folder, "cache"), DOWNPOUR_PROMETHEUS_PORT: prometheusPort };
  const env = { ...process.env, ...places, ...more };
  const child = spawn(process.execPath, [command, ...args], {
    env,
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => child.once("close", (status) => resolve({ status, stdout, stderr })));
}

async function succeed(...args: string[]): Promise<Outcome> {
  const outcome = await downpour(args);
  expect(outcome.status, `downpour ${args.join(" ")}\n${outcome.stdout}\n${outcome.stderr}`).toBe(0);
  return outcome;
}

const coordinator = () => containersNow(project, "coordinator")[0]?.name ?? "";
async function told(start: string): Promise<number> {
  const [found] = containersNow(project, "coordinator");
  return found === undefined ? 0 : sample(await metricsOf(found), start);
}
const workersThere = () => told('downpour_members{role="worker"}');
const examples = () => told("downpour_examples_total");

/** Training goes on: more examples than now are counted. */
async function trainsOn(): Promise<void> {
  const before = await examples();
  await expect.poll(examples, { timeout: 600_000, interval: 1000 }).toBeGreaterThan(before);
}

describe.skipIf(skipped !== undefined)(
  `a cluster in containers${skipped === undefined ? "" : ` (${skipped})`}`,
  () => {
    beforeAll(() => {
      writeFileSync(jobFile, jobText);
      const missing = (["node", "nats", "prometheus"] as const).find((what) => !provideImage(what, folder));
      if (missing !== undefined) lacking = `${images[missing]} can neither be pulled nor made here`;
      else if (buildsImage && !reachesRegistry()) lacking = "containers do not reach the npm registry here";
      if (lacking !== undefined || !buildsImage) return;
      provideBuildInputs();
      // Ahead of `up`, which would not give up.
      if (!buildImage(leftMs())) lacking = `the image was not built within ${minutes} minutes`;
    });

    beforeEach(({ skip }) => {
      if (lacking !== undefined) skip(lacking);
      if (leftMs() === 1) skip(`${minutes} minutes for the tests in containers are over`);
    });

    afterAll(async () => {
      await downpour(["down", "--project", project, "--volumes"]);
      rmSync(folder, { recursive: true, force: true });
    });

    it("is built, started over TLS with workers on networks of their own, and trains", async () => {
      const flags = [...inBackground, "--monitoring", "--file", ...overlays];
      const { stdout, stderr } = await succeed("up", jobFile, ...flags, ...(buildsImage ? ["--build"] : []));
      expect(stdout).toContain(`${project} trains on without this command`);
      expect(stderr).toContain(`live page: https://127.0.0.1:${pagePort}/`);
      await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(3);
      const [far] = containersNow(project, "far-worker");
      const near = containersNow(project, "worker");
      expect(near).toHaveLength(2);
      for (const worker of near) {
        expect(worker.networks.filter((network) => far?.networks.includes(network))).toEqual([]);
      }
      await trainsOn();
      const status = await succeed("ps", "--project", project);
      expect(status.stdout).toMatch(/server-2[-_]1\s+running, healthy/);
      expect(status.stdout).toMatch(/init[-_]1\s+done/);
    });

    it("is seen by Prometheus, each container of it, with the metrics of the dashboard and without an alert", async () => {
      const ask = async (path: string) => {
        const answer = await fetch(`http://127.0.0.1:${prometheusPort}/api/v1/${path}`).catch(
          () => undefined,
        );
        return answer?.ok
          ? ((await answer.json()) as { data: { result?: Sample[]; alerts?: Sample[] } }).data
          : undefined;
      };
      const query = async (text: string) =>
        (await ask(`query?query=${encodeURIComponent(text)}`))?.result ?? [];
      const up = async () =>
        (await query("sum by (job) (up)")).map(({ metric, value }) => `${metric.job} ${value[1]}`).sort();
      await expect
        .poll(up, { timeout: 600_000, interval: 2000 })
        .toEqual(["coordinator 1", "evaluator 1", "server 2", "worker 2"]);
      for (const expression of [
        "rate(downpour_examples_total[1m])",
        "downpour_training_loss",
        'downpour_staleness_updates{statistic="mean"}',
        "sum(rate(downpour_worker_step_seconds_count[1m]))",
        "sum(rate(downpour_server_gradient_bytes_total[1m]))",
      ]) {
        const first = async () => Number((await query(expression))[0]?.value[1] ?? 0);
        await expect.poll(first, { timeout: 600_000, interval: 2000 }).toBeGreaterThan(0);
      }
      const critical = ((await ask("alerts"))?.alerts ?? []).filter(
        ({ labels }) => labels?.severity === "critical",
      );
      expect(critical).toEqual([]);
    });

    it("shows its live page to whoever has the join token", async () => {
      const secret = (name: string) => docker("exec", coordinator(), "cat", `/secrets/coordinator/${name}`);
      const ca = secret("ca.pem");
      const page = await askPage(pagePort, "/", { ca });
      expect(page.status).toBe(200);
      expect(page.text).toMatch(/<script type="module"/);
      expect((await askPage(pagePort, "/api/v1/state", { ca })).status).toBe(401);
      const state = await askPage(pagePort, "/api/v1/state", { ca, token: secret("join-token").trim() });
      expect(state.status).toBe(200);
      expect(state.text).toContain('"compose"');
    });

    it("writes nothing to the file systems of its containers, and runs nobody as root", () => {
      for (const { name, service } of containersOf(project).filter(({ status }) => status === "running")) {
        const tried = spawnSync("docker", ["exec", name, "sh", "-c", "id -u; touch /probe"], {
          encoding: "utf8",
        });
        expect(tried.stdout.trim(), service).toMatch(/^(1000|65534)$/);
        expect(tried.stderr, service).toMatch(/Read-only file system/);
      }
    });

    it("scales from 2 workers to 4 and to 1 while it trains, without a restart", async () => {
      const before = containersNow(project, "coordinator")[0];
      await succeed("scale", "4", "--project", project);
      await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(5);
      await trainsOn();
      await succeed("scale", "1", "--project", project);
      await expect.poll(workersThere, { timeout: 600_000, interval: 1000 }).toBe(2);
      await trainsOn();
      // Drained, not killed: they said good-bye.
      expect(await told('downpour_members_lost_total{role="worker",how="dead"}')).toBe(0);
      expect(await told('downpour_members_lost_total{role="worker",how="left"}')).toBe(3);
      expect(containersNow(project, "coordinator")[0]).toMatchObject({ id: before?.id, pid: before?.pid });
    });

    it("goes on when a worker's container is killed, and starts it again", async () => {
      const [worker] = containersNow(project, "worker");
      process.kill(worker?.pid ?? 0, "SIGKILL");
      await expect.poll(() => containersNow(project, "worker")[0]?.restarts, { timeout: 600_000 }).toBe(1);
      await expect
        .poll(() => told('downpour_members_lost_total{role="worker",how="dead"}'), {
          timeout: 600_000,
        })
        .toBe(1);
      await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(2);
      await trainsOn();
    });

    it("goes on when a worker's network is cut, and takes it back when that heals", async () => {
      const [worker] = containersNow(project, "far-worker");
      const network = worker?.networks[0] ?? "";
      docker("network", "disconnect", network, worker?.name ?? "");
      await expect.poll(workersThere, { timeout: 600_000, interval: 1000 }).toBe(1);
      await trainsOn();
      docker("network", "connect", network, worker?.name ?? "");
      await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(2);
      await trainsOn();
    });

    it.runIf(serversRestart)("goes on from a checkpoint when a server's container is killed", async () => {
      const [server] = containersNow(project, "server-2");
      process.kill(server?.pid ?? 0, "SIGKILL");
      await expect.poll(() => containersNow(project, "server-2")[0]?.restarts, { timeout: 600_000 }).toBe(1);
      await expect
        .poll(() => told('downpour_members{role="server"}'), { timeout: 600_000, interval: 1000 })
        .toBe(2);
      await trainsOn();
    });

    it("goes on from its state when the coordinator's container is killed", async () => {
      const [before] = containersNow(project, "coordinator");
      const workers = await workersThere();
      const counted = await examples();
      process.kill(before?.pid ?? 0, "SIGKILL");
      await expect
        .poll(() => containersNow(project, "coordinator")[0]?.restarts, { timeout: 600_000 })
        .toBe(1);
      await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(workers);
      expect(await examples()).toBeGreaterThanOrEqual(counted);
      await trainsOn();
      expect(containersNow(project, "server-1")[0]).toMatchObject({ restarts: 0, status: "running" });
    });

    it("is stopped from this host by the admin's certificate, and its ledger and accuracy are right", async () => {
      // Enough epochs for an accuracy that says something.
      await expect
        .poll(() => told("downpour_epochs_passed"), { timeout: 1_500_000, interval: 2000 })
        .toBeGreaterThan(4);
      const secrets = join(folder, "admin");
      const [init] = containersNow(project, "init");
      docker("cp", `${init?.name}:/secrets/admin`, secrets);
      const identity = await loadIdentity(
        { tlsDirectory: secrets, joinTokenFile: join(secrets, "join-token") },
        "admin",
      );
      const caller = connectCoordinator(`127.0.0.1:${port}`, 10_000, identity);
      await caller.call("StopJob", { reason: "the test has seen enough" });
      caller.close();
      await expect
        .poll(() => containersNow(project, "coordinator")[0]?.status, { timeout: 900_000 })
        .toBe("exited");
      expect(containersNow(project, "coordinator")[0]?.exitCode).toBe(0);

      const results = join(folder, "runs");
      docker("cp", `${coordinator()}:/runs`, results);
      const [run] = spawnSync("ls", [results], { encoding: "utf8" }).stdout.trim().split("\n");
      const read = (name: string) => JSON.parse(readFileSync(join(results, run ?? "", name), "utf8"));
      const summary = read("summary.json");
      expect(summary).toMatchObject({ outcome: "finished", reason: "stopped", batchesSkipped: 0 });
      expect(summary.updateCountMin).toBeGreaterThanOrEqual(summary.batchesApplied);
      // Slices that were not lost may be ahead by what others train again; none took a push twice.
      const checkpoints = join(results, run ?? "", "checkpoints");
      expect(await readPushAccount(checkpoints, summary.batchesRefused)).toEqual({
        ...{ pushesLost: 0, pushesDoubled: 0 },
      });
      expect(summary.testAccuracy).toBeGreaterThan(0.9);
      const { epochs } = read("ledger.json") as { epochs: Record<string, number>[] };
      for (const { batches, applied, refused, skipped, pending, examplesApplied, complete } of epochs) {
        expect(Number(applied) + Number(refused) + Number(skipped) + Number(pending)).toBe(batches);
        expect(batches).toBe(240);
        if (complete) expect(Number(examplesApplied) + 25 * Number(refused)).toBe(6000);
      }
      // All roles end well, by themselves.
      await expect
        .poll(
          () =>
            containersOf(project).filter(
              ({ service, status }) => !["nats", "prometheus"].includes(service) && status === "running",
            ),
          {
            timeout: 600_000,
          },
        )
        .toEqual([]);
      const codes = containersOf(project)
        .filter(({ status }) => status === "exited")
        .map(({ service, exitCode }) => `${service} ${exitCode}`);
      expect(codes.filter((code) => !code.endsWith(" 0"))).toEqual([]);
    });

    it("is gone after down: no container, no network, no volume", async () => {
      await succeed("down", "--project", project, "--volumes");
      expect(containersOf(project)).toEqual([]);
      expect(leftOf(project)).toEqual({ networks: [], volumes: [] });
      expect((await downpour(["ps", "--project", project])).stderr).toContain(
        `there is no cluster ${project}`,
      );
    });

    it("names the port that is in use", async () => {
      const server = createServer().listen(Number(port), "127.0.0.1");
      try {
        const { status, stderr } = await downpour(["up", jobFile, ...inBackground]);
        expect(status).toBe(1);
        expect(stderr).toMatch(
          new RegExp(`port ${port} is in use \\(wanted by .*coordinator.*\\): .*--port`),
        );
      } finally {
        server.close();
        await succeed("down", "--project", project, "--volumes");
      }
    });

    it("says that its containers don't see the job file", async () => {
      const overlay = join(folder, "nowhere.yml");
      // Docker makes a folder of what is not there.
      const volume = `${join(folder, "nowhere", "job.yaml")}:/job/job.yaml:ro`;
      writeFileSync(overlay, `services:\n  coordinator:\n    volumes: ["${volume}"]\n`);
      const flags = [...inBackground, "--file", overlay];
      const { status, stderr } = await downpour(["up", jobFile, ...flags]);
      expect(status).toBe(1);
      expect(stderr).toMatch(/coordinator[-_]1: .*job file is not visible.*put the job file there/s);
      await succeed("down", "--project", project, "--volumes");
    });

    it("names the limit of memory that a worker ran into", async () => {
      const overlay = join(folder, "memory.yml");
      writeFileSync(overlay, 'services:\n  worker:\n    restart: "no"\n');
      const flags = [...inBackground, "--file", overlay];
      const { status, stderr } = await downpour(["up", jobFile, ...flags], {
        DOWNPOUR_WORKER_MEMORY: "160m",
      });
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /all workers have failed\. .*worker[-_]\d was killed: .*limit of 160 MiB\. Raise DOWNPOUR_WORKER_MEMORY/s,
      );
      await succeed("down", "--project", project, "--volumes");
    });

    it("keeps its state in NATS, over TLS, and goes on from there with another coordinator", async () => {
      const flags = [...inBackground, "--workers", "1"];
      const nats = ["--set", "cluster.state=nats", "--set", 'cluster.nats.servers=["nats:4222"]'];
      await succeed("up", jobFile, ...flags, ...nats);
      await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(1);
      await trainsOn();
      const [before] = containersNow(project, "coordinator");
      const counted = await examples();
      process.kill(before?.pid ?? 0, "SIGKILL");
      await expect
        .poll(() => containersNow(project, "coordinator")[0]?.restarts, { timeout: 600_000 })
        .toBe(1);
      await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(1);
      expect(await examples()).toBeGreaterThanOrEqual(counted);
      await trainsOn();
      await succeed("down", "--project", project, "--volumes");
    });

    it("names the volume that its containers can't write", async () => {
      const closed = join(folder, "closed");
      mkdirSync(closed);
      chmodSync(closed, 0o755);
      const overlay = join(folder, "closed.yml");
      writeFileSync(overlay, `services:\n  coordinator:\n    volumes: ["${closed}:/runs"]\n`);
      const { status, stderr } = await downpour(["up", jobFile, ...inBackground, "--file", overlay]);
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /coordinator[-_]1: .*\/runs can't be written by user 1000.*A volume is without permission/s,
      );
      await succeed("down", "--project", project, "--volumes");
    });

    it("says that a worker brought a wrong token, and what to do", async () => {
      const data = join(folder, "data");
      mkdirSync(data);
      writeFileSync(join(data, "join-token"), `${"A".repeat(43)}\n`, { mode: 0o644 });
      const overlay = join(folder, "token.yml");
      const token = "--join-token-file=/data/join-token";
      writeFileSync(
        overlay,
        `services:\n  worker:\n    restart: "no"\n    command: [worker, --coordinator=coordinator:7070, --tls-dir=/secrets/worker, ${token}]\n`,
      );
      const flags = [...inBackground, "--file", overlay, "--data-dir", data];
      const { status, stderr } = await downpour(["up", jobFile, ...flags]);
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /all workers have failed\. .*worker[-_]1: .*brought another one.*Its token is another one/s,
      );
      await succeed("down", "--project", project, "--volumes");
    });
  },
);

it("names the images that docker-compose.yml and its overlay use", async () => {
  const deploy = fileURLToPath(new URL("../../deploy/", import.meta.url));
  const text = ["docker-compose.yml", "compose.monitoring.yml", "Dockerfile"]
    .map((name) => readFileSync(join(deploy, name), "utf8"))
    .join("\n");
  for (const image of Object.values(images)) expect(text).toContain(image);
  // The job that compose runs where nobody names one has as many servers as compose.
  const example = await readJob(fileURLToPath(new URL("../../examples/digits-lenet5.yaml", import.meta.url)));
  expect(example.cluster.servers).toBe(2);
});
