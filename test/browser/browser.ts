import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, expect } from "vitest";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** A browser of this machine: `DOWNPOUR_CHROMIUM`, or one on the PATH. */
function findChromium(): string | undefined {
  const asked = process.env.DOWNPOUR_CHROMIUM;
  if (asked !== undefined && asked !== "") return asked;
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((file) => existsSync(file));
}

const executablePath = findChromium();

/** Whether there is a browser to test in. */
export const hasBrowser = executablePath !== undefined;

/** A test's title, with the reason where it is skipped. */
export function titled(title: string): string {
  return hasBrowser ? title : `${title} (skipped: no chromium on the PATH, and no DOWNPOUR_CHROMIUM)`;
}

export const desktop = { width: 1280, height: 800 };
export const phone = { width: 390, height: 844 };

let browser: Browser | undefined;

/** Ends the browser after the tests of a file; call once per file. */
export function closeBrowserAfterAll(): void {
  afterAll(async () => {
    await browser?.close();
    browser = undefined;
  });
}

/** A page, and what went wrong in it. */
export interface Opened {
  readonly page: Page;
  /** Errors of scripts, messages of the console about errors, and requests to other servers. */
  readonly problems: string[];
}

export async function open(
  url: string,
  options: { viewport?: typeof desktop; colorScheme?: "light" | "dark" } = {},
): Promise<Opened> {
  browser ??= await chromium.launch({
    executablePath: executablePath ?? "",
    args: ["--no-sandbox", "--disable-background-networking", "--enable-precise-memory-info"],
  });
  const page = await browser.newPage({ viewport: desktop, ...options });
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    // A server that is gone is no mistake of the page.
    if (message.type() === "error" && !/ERR_CONNECTION|status of 401/.test(message.text()))
      problems.push(message.text());
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) problems.push(`asked ${request.url()}`);
  });
  await page.goto(url);
  return { page, problems };
}

const axeFile = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string | null;
    readonly help: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
  }[];
}

/** Expects that axe finds no serious accessibility problem. */
export async function expectAccessible(page: Page): Promise<void> {
  // By the debugger, since the page's own policy lets no foreign script in.
  await page.evaluate(readFileSync(axeFile, "utf8"));
  const result = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as AxeResult;
  const serious = result.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(
      ({ id, help, nodes }) =>
        `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`,
    );
  expect(serious).toEqual([]);
}

/** For what the page shows a moment later, however busy the machine is. */
export const patiently = { timeout: 60_000, interval: 200 };

/** Runs in the page: this project's types are those of Node. */
const countPixels = `(chart, colour) => {
  const name = getComputedStyle(document.documentElement).getPropertyValue("--" + colour).trim();
  const wanted = [1, 3, 5].map((at) => Number.parseInt(name.slice(at, at + 2), 16));
  const canvas = document.querySelector('figure[aria-label="' + chart + '"] canvas');
  const data = canvas?.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data ?? [];
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (wanted.every((value, part) => Math.abs(data[i + part] - value) <= 2) && data[i + 3] === 255) count++;
  }
  return count;
}`;

/** How many pixels of the canvas of a chart have a colour of the style sheet. */
export function pixelsOf(page: Page, chart: string, colour: string): Promise<number> {
  return page.evaluate(`(${countPixels})(${JSON.stringify(chart)}, ${JSON.stringify(colour)})`);
}
