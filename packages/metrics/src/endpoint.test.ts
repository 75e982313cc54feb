import { afterEach, describe, expect, it } from "vitest";
import { catalogue } from "./catalogue.ts";
import { type MetricsEndpoint, serveMetrics } from "./endpoint.ts";
import { Readiness } from "./readiness.ts";
import { Durations } from "./reading.ts";
import { type Readings, RoleMetrics } from "./role-metrics.ts";

const open: MetricsEndpoint[] = [];
afterEach(async () => {
  for (const endpoint of open.splice(0)) await endpoint.close();
});

const steps = new Durations();
steps.observeMs(20);
steps.observeMs(200);

const readings: Readings<"worker"> = {
  downpour_worker_sessions_total: 1,
  downpour_worker_batches_total: [
    { labels: { outcome: "applied" }, value: 2 },
    { labels: { outcome: "refused" }, value: 0 },
  ],
  downpour_worker_step_seconds: steps,
  downpour_worker_push_seconds: new Durations(),
  downpour_worker_pull_seconds: new Durations(),
  downpour_worker_gradient_bytes_total: 4096,
  downpour_worker_weight_bytes_total: 8192,
  downpour_worker_loss: null,
  downpour_worker_staleness_updates: 1.5,
};

async function start(metrics = new RoleMetrics("worker", () => readings), port = 0) {
  const readiness = new Readiness("has not joined the job yet");
  const endpoint = await serveMetrics({ host: "127.0.0.1", port, metrics, readiness });
  open.push(endpoint);
  return {
    readiness,
    endpoint,
    get: (path: string, init?: RequestInit) => fetch(`http://${endpoint.address}${path}`, init),
  };
}

describe("the endpoint of a role", () => {
  it("shows its figures in Prometheus's format, with those of the process", async () => {
    const { get } = await start();
    const answer = await get("/metrics");
    expect(answer.headers.get("content-type")).toContain("text/plain; version=0.0.4");
    const lines = (await answer.text()).split("\n");
    expect(lines).toContain("# TYPE downpour_worker_batches_total counter");
    expect(lines).toContain('downpour_worker_batches_total{outcome="applied"} 2');
    expect(lines).toContain('downpour_worker_step_seconds_bucket{le="0.025"} 1');
    expect(lines).toContain('downpour_worker_step_seconds_bucket{le="0.25"} 2');
    expect(lines).toContain('downpour_worker_step_seconds_bucket{le="+Inf"} 2');
    expect(lines).toContain("downpour_worker_step_seconds_count 2");
    expect(lines).toContain("downpour_worker_staleness_updates 1.5");
    expect(lines.some((line) => line.startsWith("process_cpu_seconds_total "))).toBe(true);
  });

  it("has no sample of what is not known, and a line of help for each metric of the role", async () => {
    const { get } = await start();
    const text = await (await get("/metrics")).text();
    expect(text).not.toMatch(/^downpour_worker_loss /m);
    for (const { name } of catalogue.worker) expect(text).toContain(`# HELP ${name} `);
  });

  it("reads the figures once per scrape", async () => {
    let reads = 0;
    const { get } = await start(
      new RoleMetrics("worker", () => {
        reads++;
        return readings;
      }),
    );
    await (await get("/metrics")).text();
    expect(reads).toBe(1);
  });

  it("is alive from the start, and ready when it says so, with the reason until then", async () => {
    const { get, readiness } = await start();
    expect((await get("/healthz")).status).toBe(200);
    const early = await get("/readyz");
    expect([early.status, await early.text()]).toEqual([503, "has not joined the job yet\n"]);
    readiness.ready();
    expect((await get("/readyz")).status).toBe(200);
    readiness.notReady("leaving the job");
    expect((await get("/readyz")).status).toBe(503);
  });

  it("answers nothing else", async () => {
    const { get } = await start();
    expect((await get("/")).status).toBe(404);
    const post = await get("/metrics", { method: "POST", body: "x" });
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  it("names the port that is in use, and the way out", async () => {
    const { endpoint } = await start();
    const port = Number(endpoint.address.split(":")[1]);
    await expect(start(undefined, port)).rejects.toMatchObject({
      code: "environment",
      message: expect.stringMatching(new RegExp(`127.0.0.1:${port}.*EADDRINUSE.*--metrics-port`)),
    });
  });

  it("says that reading failed, and goes on", async () => {
    const { get } = await start(
      new RoleMetrics("worker", () => {
        throw new Error("the figures are gone");
      }),
    );
    const failed = await get("/metrics");
    expect([failed.status, await failed.text()]).toEqual([500, "the figures are gone\n"]);
    expect((await get("/healthz")).status).toBe(200);
  });
});
