import { exceptions } from "./exceptions.mjs";
import { blocksOf } from "./markdown.mjs";

/**
 * @typedef {{
 *   page: string,
 *   line: number,
 *   kind: "run" | "beside" | "until" | "file",
 *   text: string,
 *   file?: string,
 *   until?: string,
 * }} Command
 *   What a reader of a page does. `run`: a command that ends. `beside`: one that goes on while the next ones run.
 *   `until`: one that is ended with Ctrl-C once it has printed a text. `file`: a file to save, its text in `text`.
 */

/**
 * Commands and files of a page, in order. What a block is says the first line of its fence, behind the language, where
 * a reader does not see it: `sh`, `sh beside`, `sh until="epoch 2"`, `js file=shapes.mjs`. Blocks of other kinds are
 * output and excerpts.
 *
 * @param {string} markdown
 * @param {string} page
 * @returns {Command[]}
 */
export function commandsOf(markdown, page) {
  return blocksOf(markdown).flatMap((block) => commandsOfBlock(block, page));
}

/**
 * @param {import("./markdown.mjs").Block} block
 * @param {string} page
 * @returns {Command[]}
 */
function commandsOfBlock({ info, text, line }, page) {
  const file = / file=(\S+)/.exec(info)?.[1];
  if (file !== undefined) return [{ page, line, kind: "file", file, text }];
  if (!/^sh( |$)/.test(info)) return [];
  const until = / until="([^"]+)"/.exec(info)?.[1];
  const kind = until === undefined ? (/ beside\b/.test(info) ? "beside" : "run") : "until";
  const given = until === undefined ? {} : { until };
  return linesOf(text, line).map((command) => ({ page, kind, ...given, ...command }));
}

/**
 * @param {string} text
 * @param {number} firstLine
 * @returns {{ text: string, line: number }[]} commands without comments; one that ends in a backslash goes on
 */
function linesOf(text, firstLine) {
  const commands = [];
  let begun;
  for (const [i, raw] of text.split("\n").entries()) {
    const stripped = withoutComment(raw);
    if (begun === undefined && stripped === "") continue;
    begun ??= { text: "", line: firstLine + i };
    if (stripped.endsWith("\\")) {
      begun.text += stripped.slice(0, -1);
      continue;
    }
    commands.push({ ...begun, text: begun.text + stripped });
    begun = undefined;
  }
  return commands;
}

/** @param {string} line without what follows a `#` that is neither quoted nor part of a word */
function withoutComment(line) {
  const code = /^(?:'[^']*'|"[^"]*"|[^'"#]|(?<=\S)#)*/.exec(line)?.[0] ?? "";
  return code.trimEnd();
}

/**
 * @param {Command} command
 * @returns {import("./exceptions.mjs").Exception | undefined} what it is not run for
 */
export function exceptionOf({ page, kind, text }) {
  if (kind === "file") return undefined;
  return exceptions.find((exception) => exception.page === page && exception.command.test(text));
}

/**
 * The command as the test runs it: with less training, and with patience, since the test may share its machine. What
 * is ended by the test itself, or runs beside another command, trains as long as the page says: it has to last.
 *
 * @param {Pick<Command, "kind" | "text">} command
 */
export function asTested({ kind, text }) {
  if (/\bdownpour worker\b/.test(text)) return `${text} --connect-timeout 600`;
  const starts = /^npm start\b/.test(text);
  const trains = starts || /\bdownpour (--json )?train\b/.test(text);
  if (!trains && !/\bdownpour resume\b/.test(text)) return text;
  const options = trains && kind === "run" ? `${less} ${patience}` : patience;
  return `${text}${starts ? " --" : ""} ${options}`;
}

/** The last of two options of a name counts. */
const less = "--epochs 1 --train-limit 1000";

const patience =
  "--set cluster.startTimeoutMs=600000 cluster.memberTimeoutMs=120000 cluster.leaseMs=240000 " +
  "cluster.requestTimeoutMs=120000";
