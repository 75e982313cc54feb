import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readPushAccount } from "@downpour/faults";
import { connectCoordinator, loadIdentity } from "@downpour/protocol";
import { afterAll, expect, it } from "vitest";
import { askPage, containersNow, docker } from "./engine.ts";
import { containersOf, leftOf } from "./inspect.ts";
import {
  coordinator,
  downpour,
  examples,
  folder,
  inBackground,
  jobFile,
  killCoordinator,
  pagePort,
  port,
  project,
  prometheusPort,
  succeed,
  tearDown,
  told,
  trainsOn,
  workersThere,
} from "./project.ts";

const overlays = ["far.yml", "no-grafana.yml"].map((name) => fileURLToPath(new URL(name, import.meta.url)));

/** One entry of an answer of Prometheus. */
interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
  readonly labels?: Readonly<Record<string, string>>;
}

/** One cluster, from its start to its end: each test goes on from the one before. */
export function trainingTests(buildsImage: boolean): void {
  afterAll(tearDown);

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
      const answer = await fetch(`http://127.0.0.1:${prometheusPort}/api/v1/${path}`).catch(() => undefined);
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

  it("goes on from a checkpoint when a server's container is killed", async () => {
    const [server] = containersNow(project, "server-2");
    process.kill(server?.pid ?? 0, "SIGKILL");
    await expect.poll(() => containersNow(project, "server-2")[0]?.restarts, { timeout: 600_000 }).toBe(1);
    await expect
      .poll(() => told('downpour_members{role="server"}'), { timeout: 600_000, interval: 1000 })
      .toBe(2);
    await trainsOn();
  });

  it("goes on from its state when the coordinator's container is killed", async () => {
    const workers = await workersThere();
    const counted = await examples();
    await killCoordinator();
    await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(workers);
    // Reports of the last second are stored with the next lease: they may come again.
    await trainsOn(counted);
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
    const events = readFileSync(join(results, run ?? "", "events.jsonl"), "utf8")
      .trim()
      .split("\n");
    const written = events.map((line) => JSON.parse(line)).filter(({ type }) => type === "checkpointed");
    expect(written.at(-1)).toMatchObject({ reason: "trained" });
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
    expect((await downpour(["ps", "--project", project])).stderr).toContain(`there is no cluster ${project}`);
  });
}
