import type { Page } from "playwright-core";
import { afterAll, describe, expect, it } from "vitest";
import { closeBrowserAfterAll, hasBrowser, open, patiently, titled } from "./browser.ts";
import { type Simulated, serveSimulated } from "./serve-simulated.ts";
import { SimulatedRun } from "./simulated-run.ts";

closeBrowserAfterAll();

const memberCount = 100;
const pointCount = 100_000;
/** Points that come while the page is watched, and how many at once: far more than a coordinator ever sends. */
const liveCount = 600;
const pointsPerBurst = 10;
const burstIntervalMs = 250;
const heapBytesMax = 200 * 2 ** 20;

let served: Simulated | undefined;
afterAll(async () => {
  await served?.close();
});

const watchEmptyMs = 3000;

interface Frames {
  readonly count: number;
  readonly longestMs: number;
  readonly startMs: number;
  readonly lastMs: number;
}

const perSecond = ({ count, startMs, lastMs }: Frames) => (1000 * count) / (lastMs - startMs);
const framesOf = (page: Page) => page.evaluate("window.frames_") as Promise<Frames>;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Counts the frames that the page shows; its promise is asked for by the debugger. */
const beginCounting = `
  window.frames_ = { count: 0, longestMs: 0, startMs: performance.now(), lastMs: performance.now() };
  (function frame() {
    const now = performance.now();
    window.frames_.count += 1;
    window.frames_.longestMs = Math.max(window.frames_.longestMs, now - window.frames_.lastMs);
    window.frames_.lastMs = now;
    requestAnimationFrame(frame);
  })();`;

describe.skipIf(!hasBrowser)(titled(`the page with ${memberCount} members and ${pointCount} points`), () => {
  it("shows all of it in bounded memory while more comes, and reports how fast", {
    timeout: 300_000,
  }, async () => {
    const run = new SimulatedRun("large", {
      workers: memberCount,
      steps: pointCount,
      seed: 3,
      startMs: 1_790_000_000_000,
    });
    for (let i = 0; i < pointCount - liveCount; i++) run.advance();
    served = await serveSimulated([run]);
    // The baseline: an empty page on this machine, at this time.
    const empty = await open(`${served.url}favicon.svg`);
    await empty.page.evaluate(beginCounting);
    await pause(watchEmptyMs);
    const atRest = await framesOf(empty.page);
    await empty.page.close();
    const { page, problems } = await open(served.url);
    await page.waitForSelector("tr.member", { timeout: patiently.timeout });
    expect(await page.locator("tr.member").count()).toBe(memberCount + 3);
    await page.evaluate(beginCounting);
    while (!run.done) {
      for (let i = 0; i < pointsPerBurst; i++) run.advance();
      await pause(burstIntervalMs);
    }
    const frames = await framesOf(page);
    // Everything came: the last epoch is in the log, and the ledger's figure is the run's.
    await expect.poll(() => page.textContent("#examples-counted"), patiently).toBe("1,200,000");
    await expect.poll(() => page.getByRole("log").textContent(), patiently).toContain("epoch 20 is complete");
    const session = await page.context().newCDPSession(page);
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    process.stdout.write(
      `page with ${memberCount} members and ${pointCount} points: ${perSecond(frames).toFixed(1)} frames/s ` +
        `(${perSecond(atRest).toFixed(1)} of an empty page), longest frame ${frames.longestMs.toFixed(0)} ms ` +
        `(${atRest.longestMs.toFixed(0)}), heap ${(usedSize / 2 ** 20).toFixed(1)} MiB\n`,
    );
    expect(usedSize).toBeLessThan(heapBytesMax);
    expect(problems).toEqual([]);
    await page.close();
  });
});
