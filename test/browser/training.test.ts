import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunState } from "@downpour/run-history";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { descendantsOf, downpour, type Running } from "../harness.ts";
import {
  closeBrowserAfterAll,
  expectAccessible,
  hasBrowser,
  type Opened,
  open,
  patiently,
  phone,
  pixelsOf,
  titled,
} from "./browser.ts";

closeBrowserAfterAll();

/** Goes on until it is stopped. */
const job = `
name: live
seed: 7
data:
  set: { name: digits, trainCount: 1100, testCount: 200 }
  validation: 100
  batchSize: 20
  shardBatches: 4
model: { name: mlp, hiddenUnits: [32] }
optimizer: { name: sgd }
learningRate: { initial: 0.02 }
training: { epochs: 100000 }
evaluation: { everyEpochs: 5 }
worker: { device: portable }
cluster: { workers: 3, servers: 2, memberTimeoutMs: 5000, leaseMs: 5000, startTimeoutMs: 170000 }
`;

const folder = mkdtempSync(join(tmpdir(), "downpour-page-"));
const runDirectory = join(folder, "run");
const stepTimeoutMs = 170_000;

/** In this order, on one run: what a person does with the page of a training run, from its start to its end. */
describe.skipIf(!hasBrowser)(titled("the page of a real training run"), { timeout: stepTimeoutMs }, () => {
  let training: Running;
  let opened: Opened;
  let page: Page;
  let url: string;
  const state = async () => (await (await fetch(`${url}api/v1/state`)).json()) as RunState;
  const counted = async () => (await state()).ledger?.examplesCounted ?? 0;

  beforeAll(async () => {
    const file = join(folder, "live.yaml");
    writeFileSync(file, job);
    training = downpour(["--json", "train", file, "--run-dir", runDirectory]);
    const said = await training.event(({ message }) => String(message).startsWith("live page: "));
    url = String(said.message).slice("live page: ".length);
    opened = await open(url);
    page = opened.page;
    await page.waitForSelector("[data-lifecycle=training]", { timeout: stepTimeoutMs });
  }, 2 * stepTimeoutMs);

  afterAll(async () => {
    training.child.kill("SIGINT");
    await training.finished;
    rmSync(folder, { recursive: true, force: true });
  }, stepTimeoutMs);

  it("moves its curves while training goes on", async () => {
    const curve = () =>
      page.evaluate(`document.querySelector('figure[aria-label="Loss"] canvas').toDataURL()`);
    await expect.poll(() => pixelsOf(page, "Loss", "series-1"), patiently).toBeGreaterThan(20);
    const before = await curve();
    const examples = () => page.textContent("#examples-counted");
    const examplesBefore = await examples();
    await expect.poll(curve, patiently).not.toBe(before);
    await expect.poll(examples, patiently).not.toBe(examplesBefore);
  });

  it("pauses: what is leased is finished, and then no example is counted until it is resumed", async () => {
    await page.getByRole("button", { name: "Pause" }).click();
    await page.waitForSelector("[data-lifecycle=paused]");
    await expect.poll(async () => (await state()).ledger?.batchesLeased, patiently).toBe(0);
    const { sequence } = await state();
    const before = await counted();
    // Each second there is an event: three of them are three seconds of the coordinator's own.
    await expect.poll(async () => (await state()).sequence, patiently).toBeGreaterThan(sequence + 3);
    expect(await counted()).toBe(before);
    expect(
      (await state()).members.filter(({ role, state: is }) => role === "worker" && is === "active"),
    ).toHaveLength(3);
    await page.getByRole("button", { name: "Resume" }).click();
    await page.waitForSelector("[data-lifecycle=training]");
    await expect.poll(counted, patiently).toBeGreaterThan(before);
  });

  it("drops the learning rate, and marks that in the charts", async () => {
    expect(await pixelsOf(page, "Loss", "mark-drop")).toBe(0);
    await page.getByRole("button", { name: "Drop learning rate" }).click();
    await page.getByLabel("Factor").fill("0.5");
    await page.getByRole("dialog").getByRole("button", { name: "Drop" }).click();
    await page.waitForSelector("[data-mark=drop]", { timeout: patiently.timeout });
    await expect.poll(() => pixelsOf(page, "Loss", "mark-drop"), patiently).toBeGreaterThan(20);
    expect((await state()).schedule?.drops).toMatchObject([{ factor: 0.5, reason: "manual" }]);
  });

  it("turns a worker that is killed red", async () => {
    const workers = descendantsOf(training.pid).filter(({ role }) => role === "worker");
    expect(workers.length).toBeGreaterThanOrEqual(2);
    process.kill(workers[0]?.pid ?? -1, "SIGKILL");
    const dead = page.locator("tr[data-state=dead]");
    await dead.first().waitFor({ timeout: patiently.timeout });
    const red = await page.evaluate(
      `getComputedStyle(document.querySelector("tr[data-state=dead] th")).color`,
    );
    expect(red).toBe("rgb(185, 28, 28)");
    await expect.poll(() => page.locator("[data-mark=died]").count(), patiently).toBe(1);
  });

  it("drains a worker, which leaves by itself", async () => {
    // Two are left at least; the launcher may have replaced the third one by now.
    const drain = page.getByRole("button", { name: /^Drain/ });
    await expect.poll(() => drain.count(), patiently).toBeGreaterThanOrEqual(2);
    await drain.first().click();
    await page.getByRole("dialog").getByRole("button", { name: "Drain" }).click();
    await page.locator("tr[data-state=left]").first().waitFor({ timeout: patiently.timeout });
  });

  it("has no serious accessibility problem", async () => {
    await expectAccessible(page);
  });

  it("keeps its history across a reload, also on a phone", async () => {
    const log = page.getByRole("log");
    const linesBefore = await log.locator("li").count();
    expect(linesBefore).toBeGreaterThan(5);
    await page.reload();
    await page.waitForSelector("[data-mark=drop]", { timeout: patiently.timeout });
    await expect.poll(() => pixelsOf(page, "Loss", "mark-drop"), patiently).toBeGreaterThan(20);
    await expect.poll(() => log.locator("li").count(), patiently).toBeGreaterThanOrEqual(linesBefore);
    const other = await open(url, { viewport: phone });
    await other.page.waitForSelector("[data-mark=died]", { timeout: patiently.timeout });
    await other.page.close();
  });

  it("stops the run, which ends well, and goes on showing it", async () => {
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Stop the run" }).click();
    await page.waitForSelector("[data-lifecycle=finished]", { timeout: stepTimeoutMs });
    const { status } = await training.finished;
    expect(status).toBe(0);
    await page.waitForSelector("[data-connection=ended]", { timeout: patiently.timeout });
    expect(await page.locator("tr[data-state=dead]").count()).toBe(1);
    expect(opened.problems).toEqual([]);
    const types = readFileSync(join(runDirectory, "events.jsonl"), "utf8")
      .split("\n")
      .flatMap((line) => (line === "" ? [] : [(JSON.parse(line) as { type: string }).type]));
    for (const type of ["paused", "resumed", "learningRateDropped", "memberDraining", "workerMetrics"]) {
      expect(types).toContain(type);
    }
  });

  it("is shown again by `downpour show`, which says what is wrong with a run that is not there", async () => {
    const missing = await downpour(["show", join(folder, "nothing")]).finished;
    expect(missing.status).toBe(2);
    expect(missing.stderr).toMatch(/^error: the run .*nothing does not exist; name the folder of a run.*\n$/);
    const showing = downpour(["--json", "show", runDirectory]);
    try {
      const said = await showing.event(({ message }) => String(message).includes("http://"));
      const recorded = /http:\S+/.exec(String(said.message))?.[0] ?? "";
      const taken = await downpour(["show", runDirectory, "--port", new URL(recorded).port]).finished;
      expect(taken.status).toBe(1);
      expect(taken.stderr).toMatch(
        /^error: the live page can't be served: port \d+ of 127.0.0.1 is in use; choose .*\n$/,
      );
      const shown = await open(recorded);
      await shown.page.waitForSelector("[data-connection=recorded]", { timeout: patiently.timeout });
      await expect.poll(() => pixelsOf(shown.page, "Loss", "mark-drop"), patiently).toBeGreaterThan(20);
      expect(await shown.page.locator("tr[data-state=dead]").count()).toBe(1);
      expect(await shown.page.getByRole("button", { name: "Pause" }).count()).toBe(0);
      expect(shown.problems).toEqual([]);
      await shown.page.close();
    } finally {
      showing.child.kill("SIGINT");
      await showing.finished;
    }
  });
});
