import { JoinToken } from "@downpour/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  closeBrowserAfterAll,
  desktop,
  expectAccessible,
  hasBrowser,
  open,
  patiently,
  phone,
  pixelsOf,
  titled,
} from "./browser.ts";
import { type Simulated, serveSimulated } from "./serve-simulated.ts";
import { SimulatedRun } from "./simulated-run.ts";

closeBrowserAfterAll();

const startMs = 1_790_000_000_000;
let served: Simulated | undefined;
afterEach(async () => {
  await served?.close();
  served = undefined;
});

function simulate(name: string, workers = 4, steps = 300): SimulatedRun {
  const run = new SimulatedRun(name, { workers, steps, seed: 5, startMs });
  for (let i = 0; i < 0.8 * steps; i++) run.advance();
  return run;
}

describe.skipIf(!hasBrowser)(titled("the page of a simulated run"), () => {
  let run: SimulatedRun;
  beforeEach(() => {
    run = simulate("first");
  });

  it("asks no other server for anything, breaks no rule of its policy, and throws nothing", async () => {
    served = await serveSimulated([run]);
    const { page, problems } = await open(served.url);
    await page.waitForSelector("[data-lifecycle=training]");
    await page.getByText("Resolved job").click();
    expect(await page.textContent("pre")).toContain("name: lenet5");
    expect(problems).toEqual([]);
    await page.close();
  });

  it("draws the curves and marks drops, checkpoints and deaths in them", async () => {
    served = await serveSimulated([run]);
    const { page } = await open(served.url);
    await page.waitForSelector("[data-mark=drop]");
    for (const kind of ["drop", "checkpoint", "died", "joined"]) {
      expect(await page.locator(`[data-mark=${kind}]`).count(), kind).toBe(1);
    }
    for (const colour of ["series-1", "validation", "mark-drop", "mark-checkpoint", "mark-died"]) {
      await expect
        .poll(() => pixelsOf(page, "Loss", colour), { message: colour, ...patiently })
        .toBeGreaterThan(20);
    }
    await page.close();
  });

  it.each([
    { viewport: desktop, colorScheme: "light" as const },
    { viewport: desktop, colorScheme: "dark" as const },
    { viewport: phone, colorScheme: "light" as const },
  ])("has no serious accessibility problem at $viewport.width pixels, $colorScheme", async (options) => {
    served = await serveSimulated([run, simulate("second")]);
    const { page } = await open(served.url, options);
    await page.waitForSelector("tr.dead");
    await expectAccessible(page);
    await page.getByRole("button", { name: "Drop learning rate" }).click();
    await expectAccessible(page);
    await page.close();
  });

  it("fits a phone: nothing is wider than the screen", async () => {
    served = await serveSimulated([run, simulate("second")]);
    const { page } = await open(served.url, { viewport: phone });
    await page.waitForSelector("tr.dead");
    const width = await page.evaluate("document.scrollingElement.scrollWidth");
    expect(width).toBe(phone.width);
    await page.close();
  });

  it("is used by keyboard: pause, a drop that is cancelled and one that is not, a drain", async () => {
    const asked: string[] = [];
    served = await serveSimulated([run], { asked });
    const { page } = await open(served.url);
    const pause = page.getByRole("button", { name: "Pause" });
    await pause.waitFor();
    await page.keyboard.press("Tab");
    await expect.poll(() => page.evaluate("document.activeElement.textContent"), patiently).toBe("Pause");
    await page.keyboard.press("Enter");
    await expect.poll(() => asked, patiently).toEqual(["pause"]);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog[open]", { state: "detached" });
    expect(asked).toEqual(["pause"]);
    await page.keyboard.press("Enter");
    await page.getByLabel("Factor").fill("0.25");
    await page.keyboard.press("Enter");
    await expect.poll(() => asked, patiently).toEqual(["pause", "drop 0.25"]);
    await page.getByRole("button", { name: "Drain worker-3" }).press("Enter");
    await page.getByRole("dialog").getByRole("button", { name: "Drain" }).press("Enter");
    await expect.poll(() => asked, patiently).toEqual(["pause", "drop 0.25", "drain worker-3"]);
    await page.close();
  });

  it.each([true, false])("offers a checkpoint where the coordinator has them: %s", async (checkpoint) => {
    const asked: string[] = [];
    served = await serveSimulated([run], { asked, checkpoint });
    const { page } = await open(served.url);
    await page.getByRole("button", { name: "Stop" }).waitFor();
    const button = page.getByRole("button", { name: "Checkpoint now" });
    expect(await button.count()).toBe(checkpoint ? 1 : 0);
    if (checkpoint) {
      await button.click();
      await expect.poll(() => asked, patiently).toEqual(["checkpoint"]);
    }
    await page.close();
  });

  it("lays several runs over each other, and shows the details of the one that is chosen", async () => {
    served = await serveSimulated([run, simulate("second", 6)]);
    const { page } = await open(served.url);
    const names = page.locator('figure[aria-label="Accuracy"] .legend li');
    await expect
      .poll(() => names.allTextContents(), patiently)
      .toEqual([expect.stringContaining("second"), expect.stringContaining("first")]);
    await page.getByLabel("second in the charts").uncheck();
    await expect.poll(() => names.allTextContents(), patiently).toEqual([expect.stringContaining("first")]);
    await page.getByRole("button", { name: "Details of second" }).click();
    await expect.poll(() => page.textContent("h1"), patiently).toBe("second");
    expect(await page.locator("tr.member").count()).toBe(9);
    expect(await page.getByRole("button", { name: "Pause" }).count()).toBe(0);
    await page.close();
  });

  it("comes back by itself when the coordinator does, and has each event once", async () => {
    served = await serveSimulated([run]);
    const { url } = served;
    const { page } = await open(url);
    await page.waitForSelector("[data-connection=live]");
    await served.close();
    await page.waitForSelector("[data-connection=lost]");
    run.drop(0.5);
    served = await serveSimulated([run], { port: Number(new URL(url).port) });
    await page.waitForSelector("[data-connection=live]");
    run.drop(0.5);
    await expect.poll(() => page.textContent("[data-mark=drop]"), patiently).toContain("(3)");
    await page.close();
  });

  it("asks for the join token where others reach it, and takes none but that", async () => {
    const text = "a".repeat(40);
    served = await serveSimulated([run], {
      host: "0.0.0.0",
      identity: { token: new JoinToken(text, "test") },
    });
    const { page } = await open(`http://127.0.0.1:${new URL(served.url).port}/`);
    await page.getByLabel("Join token").fill("b".repeat(40));
    await page.keyboard.press("Enter");
    await page.getByLabel("Join token").waitFor();
    expect(await page.locator("h1").textContent()).toBe("Downpour");
    await page.getByLabel("Join token").fill(text);
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-lifecycle=training]");
    await page.reload();
    await page.waitForSelector("[data-lifecycle=training]");
    expect(page.url()).not.toContain(text);
    await page.close();
  });
});
