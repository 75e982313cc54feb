import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { catalogue, type MetricDefinition } from "@downpour/metrics";
import { expect, it } from "vitest";
import { cleanUpAfterEach, downpour, makeFolder, smallJob } from "./harness.ts";

cleanUpAfterEach();

/** The value of the first sample whose line begins so; undefined without one. */
function sample(text: string, start: string): number | undefined {
  const line = text.split("\n").find((each) => each.startsWith(start));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

it("every role of a cluster shows its metrics and health, and they agree with the ledger", async () => {
  const folder = makeFolder();
  const job = join(folder, "job.yaml");
  // Long enough to be looked at; it is ended from outside.
  writeFileSync(job, smallJob.replace("epochs: 3", "epochs: 100000").replace("workers: 2", "workers: 1"));
  const run = join(folder, "run");
  const logOf = (name: string) => {
    const file = join(folder, `${name}.jsonl`);
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  };
  const addressIn = async (name: string, message: string) => {
    await expect.poll(() => logOf(name), { timeout: 60_000 }).toContain(`"msg":"${message}"`);
    const line = logOf(name)
      .split("\n")
      .find((each) => each.includes(`"msg":"${message}"`));
    return String((JSON.parse(line ?? "{}") as { address?: unknown }).address);
  };
  const start = (name: string, ...args: string[]) =>
    downpour([...args, "--metrics-port", "0", "--log-file", join(folder, `${name}.jsonl`)]);

  const coordinator = start("coordinator", "coordinator", job, "--run-dir", run);
  const joining = ["--coordinator", await addressIn("coordinator", "listening")];
  const first = start("server-1", "server", ...joining);
  // One server is missing: whoever joins waits, and says so.
  const worker = start("worker", "worker", ...joining, "--device", "portable");
  const waiting = await fetch(`http://${await addressIn("worker", "metrics")}/readyz`);
  expect([waiting.status, await waiting.text()]).toEqual([503, "has not joined the job yet\n"]);
  const second = start("server-2", "server", ...joining, "--port", "0");
  const evaluator = start("evaluator", "evaluator", ...joining, "--device", "portable");
  const members = [coordinator, first, second, worker, evaluator];

  const addresses = new Map<string, string>();
  for (const name of ["coordinator", "server-1", "server-2", "worker", "evaluator"]) {
    addresses.set(name, await addressIn(name, "metrics"));
  }
  const get = async (name: string, path: string) => {
    const answer = await fetch(`http://${addresses.get(name)}${path}`);
    return { status: answer.status, text: await answer.text() };
  };
  for (const name of addresses.keys()) {
    await expect.poll(async () => (await get(name, "/readyz")).status, { timeout: 60_000 }).toBe(200);
    expect((await get(name, "/healthz")).status).toBe(200);
  }
  await expect
    .poll(
      async () =>
        sample((await get("worker", "/metrics")).text, 'downpour_worker_batches_total{outcome="applied"}'),
      {
        timeout: 60_000,
      },
    )
    .toBeGreaterThan(20);
  await expect
    .poll(
      async () => sample((await get("evaluator", "/metrics")).text, "downpour_evaluator_evaluations_total"),
      {
        timeout: 60_000,
      },
    )
    .toBeGreaterThan(0);

  for (const [name, role] of [
    ["coordinator", "coordinator"],
    ["server-1", "server"],
    ["worker", "worker"],
    ["evaluator", "evaluator"],
  ] as const) {
    const { text } = await get(name, "/metrics");
    for (const { name: metric } of catalogue[role] as readonly MetricDefinition[]) {
      expect(text).toContain(`# HELP ${metric} `);
    }
  }
  const told = (await get("coordinator", "/metrics")).text;
  expect(sample(told, 'downpour_job_state{state="training"}')).toBe(1);
  expect(sample(told, 'downpour_members{role="server"}')).toBe(2);
  expect(sample(told, "downpour_workers_wanted")).toBe(1);
  const server = (await get("server-2", "/metrics")).text;
  expect(sample(server, "downpour_server_updates_total")).toBeGreaterThan(20);
  expect(sample(server, "downpour_server_gradient_bytes_total")).toBeGreaterThan(0);
  expect(
    sample((await get("worker", "/metrics")).text, "downpour_worker_weight_bytes_total"),
  ).toBeGreaterThan(0);

  worker.child.kill("SIGTERM");
  expect((await worker.finished).status).toBe(0);
  await expect
    .poll(async () =>
      sample(
        (await get("coordinator", "/metrics")).text,
        'downpour_members_lost_total{role="worker",how="left"}',
      ),
    )
    .toBe(1);
  // What left is settled: the coordinator counts the batches that the slices have.
  const examples = sample((await get("coordinator", "/metrics")).text, "downpour_examples_total") ?? 0;
  const applied = sample(
    (await get("coordinator", "/metrics")).text,
    'downpour_batches_total{outcome="applied"}',
  );
  const slices = (await get("server-1", "/metrics")).text;
  expect(sample(slices, 'downpour_server_slice_updates{statistic="min"}')).toBe(applied);
  expect(sample(slices, 'downpour_server_slice_updates{statistic="max"}')).toBe(applied);
  expect(examples).toBe(Number(applied) * 20);
  for (const { child } of members) child.kill("SIGTERM");
  for (const { finished } of members) expect((await finished).stderr).toBe("");
});
