import fs from "node:fs";
import path from "node:path";
import { asTested, commandsOf, exceptionOf } from "./commands.mjs";
import { startCommand } from "./start-command.mjs";

/**
 * @typedef {{
 *   folder: string,
 *   variables: NodeJS.ProcessEnv,
 *   dataDirectory: string | undefined,
 *   without: RegExp | undefined,
 *   timeoutMs: number,
 *   say: (line: string) => void,
 * }} Surroundings
 *
 * @typedef {{ passed: number, failed: number, leftOut: number }} Counts
 */

/**
 * Does what a page tells its reader to do, in a folder: saves its files and runs its commands, in order. A command that
 * fails does not keep the next ones from running.
 *
 * @param {string} markdown
 * @param {string} page
 * @param {Surroundings} surroundings
 * @returns {Promise<Counts>}
 */
export async function followPage(markdown, page, surroundings) {
  const { folder, say } = surroundings;
  const counts = { passed: 0, failed: 0, leftOut: 0 };
  /** @type {(() => Promise<void>) | undefined} */
  let settleBeside;
  for (const command of commandsOf(markdown, page)) {
    if (command.file !== undefined) {
      fs.writeFileSync(path.join(folder, command.file), `${command.text}\n`);
      continue;
    }
    const why = reasonToLeaveOut(command, surroundings);
    if (why !== undefined) {
      counts.leftOut += 1;
      say(`  left out  ${command.text}: ${why}`);
      continue;
    }
    const running = startCommand(textToRun(command, surroundings), { ...surroundings, until: command.until });
    const settle = async () => {
      const { ok, seconds, output } = await running;
      counts[ok ? "passed" : "failed"] += 1;
      say(`  ${ok ? "ok" : "FAILED"} ${seconds.toFixed(1)} s  ${command.text}`);
      if (!ok) say(output.slice(-4000).replace(/^/gm, "    | "));
    };
    if (command.kind === "beside") {
      settleBeside = settle;
      continue;
    }
    await settle();
    await settleBeside?.();
    settleBeside = undefined;
  }
  await settleBeside?.();
  return counts;
}

/**
 * @param {import("./commands.mjs").Command} command
 * @param {Surroundings} surroundings
 */
function reasonToLeaveOut(command, { without, dataDirectory }) {
  if (without?.test(command.text)) return "by --without";
  const exception = exceptionOf(command);
  if (exception === undefined) return undefined;
  const { data, why } = exception;
  if (data === undefined || dataDirectory === undefined) return why;
  return fs.existsSync(path.join(dataDirectory, data)) ? undefined : why;
}

/**
 * @param {import("./commands.mjs").Command} command in which `~/data` is where the reader has data
 * @param {Surroundings} surroundings
 */
function textToRun(command, { dataDirectory }) {
  const text = asTested(command);
  return dataDirectory === undefined ? text : text.replaceAll("~/data", `'${dataDirectory}'`);
}
