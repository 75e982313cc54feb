import { afterAll, describe, expect, it } from "vitest";
import { closeBrowserAfterAll, hasBrowser, open, patiently, titled } from "./browser.ts";
import { type Simulated, serveSimulated } from "./serve-simulated.ts";
import { SimulatedRun } from "./simulated-run.ts";

closeBrowserAfterAll();

const memberCount = 100;
const pointCount = 100_000;
/** Points that come while the page is watched, and how many at once: far more than a coordinator ever sends. */
const liveCount = 2000;
const pointsPerBurst = 20;
const burstIntervalMs = 100;
const heapBytesMax = 200 * 2 ** 20;

let served: Simulated | undefined;
afterAll(async () => {
  await served?.close();
});

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
    const { page, problems } = await open(served.url);
    await page.waitForSelector("tr.member", { timeout: patiently.timeout });
    expect(await page.locator("tr.member").count()).toBe(memberCount + 3);
    await page.evaluate(beginCounting);
    while (!run.done) {
      for (let i = 0; i < pointsPerBurst; i++) run.advance();
      await new Promise((resolve) => setTimeout(resolve, burstIntervalMs));
    }
    const frames = (await page.evaluate("window.frames_")) as {
      count: number;
      longestMs: number;
      startMs: number;
      lastMs: number;
    };
    // Everything came: the last epoch is in the log, and the ledger's figure is the run's.
    await expect.poll(() => page.textContent("#examples-counted"), patiently).toBe("1,200,000");
    await expect.poll(() => page.getByRole("log").textContent(), patiently).toContain("epoch 20 is complete");
    const session = await page.context().newCDPSession(page);
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    const framesPerSecond = (1000 * frames.count) / (frames.lastMs - frames.startMs);
    process.stdout.write(
      `page with ${memberCount} members and ${pointCount} points: ${framesPerSecond.toFixed(1)} frames/s, ` +
        `longest frame ${frames.longestMs.toFixed(0)} ms, heap ${(usedSize / 2 ** 20).toFixed(1)} MiB\n`,
    );
    expect(usedSize).toBeLessThan(heapBytesMax);
    expect(problems).toEqual([]);
    await page.close();
  });
});
