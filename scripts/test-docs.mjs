import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { commandsOf, exceptionOf, shortened } from "../test/docs/commands.mjs";
import { tested } from "../test/docs/exceptions.mjs";
import { dataDirectory, environment } from "./config.mjs";
import { copyOfTree } from "./copy-of-tree.mjs";
import { runMain } from "./terminal.mjs";
import { root } from "./workspace.mjs";

/**
 * `pnpm run test:docs`: does what README and tutorial tell a reader to do, in a clean copy of this checkout, command by
 * command, with less training. CONTRIBUTING.md says how pages mark their blocks.
 */

const commandTimeoutMs = 15 * 60_000;

/** A process that was asked to end gets so long. */
const graceMs = 30_000;

await runMain(async () => {
  const { values } = parseArgs({
    options: {
      page: { type: "string", multiple: true },
      built: { type: "boolean", default: false },
      without: { type: "string" },
      keep: { type: "boolean", default: false },
    },
  });
  const without = values.without === undefined ? undefined : new RegExp(values.without);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "downpour-docs-"));
  const counts = { passed: 0, failed: 0, leftOut: 0 };
  try {
    copyOfTree(root, folder, { built: values.built });
    for (const page of values.page ?? tested) {
      process.stdout.write(`${page}\n`);
      await followPage(page, { folder, without, counts });
    }
  } finally {
    if (values.keep) process.stdout.write(`left in ${folder}\n`);
    else fs.rmSync(folder, { recursive: true, force: true });
  }
  const { passed, failed, leftOut } = counts;
  process.stdout.write(`${passed} passed, ${failed} failed, ${leftOut} left out\n`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
});

/**
 * @param {string} page
 * @param {{
 *   folder: string,
 *   without: RegExp | undefined,
 *   counts: { passed: number, failed: number, leftOut: number },
 * }} context
 */
async function followPage(page, { folder, without, counts }) {
  /** @type {{ started: Started, text: string } | undefined} */
  let beside;
  const settle = async (text, started) => {
    const { ok, seconds, output } = await started.ended;
    counts[ok ? "passed" : "failed"] += 1;
    process.stdout.write(`  ${ok ? "ok" : "FAILED"} ${seconds.toFixed(1)} s  ${text}\n`);
    if (!ok) process.stdout.write(`${output.slice(-4000).replace(/^/gm, "    | ")}\n`);
  };
  for (const command of commandsOf(fs.readFileSync(path.join(root, page), "utf8"), page)) {
    if (command.kind === "file") {
      fs.writeFileSync(path.join(folder, command.file), `${command.text}\n`);
      continue;
    }
    const why = reasonToLeaveOut(command, without);
    if (why !== undefined) {
      counts.leftOut += 1;
      process.stdout.write(`  left out  ${command.text}: ${why}\n`);
      continue;
    }
    const started = start(textToRun(command), folder, command.until);
    if (command.kind === "beside") {
      beside = { started, text: command.text };
      continue;
    }
    await settle(command.text, started);
    if (beside !== undefined) await settle(beside.text, beside.started);
    beside = undefined;
  }
  if (beside !== undefined) await settle(beside.text, beside.started);
}

/**
 * @param {import("../test/docs/commands.mjs").Command} command
 * @param {RegExp | undefined} without
 */
function reasonToLeaveOut(command, without) {
  if (without?.test(command.text)) return "by --without";
  const exception = exceptionOf(command);
  if (exception === undefined) return undefined;
  const { data, why } = exception;
  const atHand =
    data !== undefined && dataDirectory !== undefined && fs.existsSync(path.join(dataDirectory, data));
  return atHand ? undefined : why;
}

/** @param {import("../test/docs/commands.mjs").Command} command `~/data` is where the reader has data */
function textToRun(command) {
  const text = shortened(command);
  return dataDirectory === undefined ? text : text.replaceAll("~/data", `'${dataDirectory}'`);
}

/**
 * @typedef {{ ended: Promise<{ ok: boolean, seconds: number, output: string }> }} Started
 *
 * @param {string} text
 * @param {string} folder
 * @param {string} [until] the command is ended by SIGINT once it has printed this, and must then have been there
 * @returns {Started}
 */
function start(text, folder, until) {
  const startedMs = Date.now();
  // A group of its own, as a terminal gives it: Ctrl-C reaches every process of the command.
  const child = spawn("sh", ["-c", text], {
    cwd: folder,
    env: environment,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // It has ended.
    }
  };
  let output = "";
  let interrupted = false;
  let timedOut = false;
  const timers = [];
  const end = () => {
    signal("SIGINT");
    timers.push(setTimeout(() => signal("SIGKILL"), graceMs));
  };
  timers.push(
    setTimeout(() => {
      timedOut = true;
      end();
    }, commandTimeoutMs),
  );
  const take = (chunk) => {
    output += chunk;
    if (until === undefined || interrupted || !output.includes(until)) return;
    interrupted = true;
    end();
  };
  child.stdout.setEncoding("utf8").on("data", take);
  child.stderr.setEncoding("utf8").on("data", take);
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, killedBy) => {
      for (const timer of timers) clearTimeout(timer);
      signal("SIGKILL"); // whatever it left behind
      const asWanted = until === undefined ? code === 0 : interrupted && killedBy !== "SIGKILL";
      const seconds = (Date.now() - startedMs) / 1000;
      resolve({ ok: asWanted && !timedOut, seconds, output: timedOut ? `${output}\ntook too long` : output });
    });
  });
  return { ended };
}
