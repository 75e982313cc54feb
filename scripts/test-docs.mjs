import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { tested } from "../test/docs/exceptions.mjs";
import { followPage } from "../test/docs/follow-page.mjs";
import { dataDirectory, environment } from "./config.mjs";
import { copyOfTree } from "./copy-of-tree.mjs";
import { readOptions } from "./options.mjs";
import { runMain } from "./terminal.mjs";
import { root } from "./workspace.mjs";

/**
 * `npm run test:docs`: does what README and tutorial tell a reader to do, in a clean copy of this checkout, command by
 * command, with less training. CONTRIBUTING.md says how pages mark their blocks.
 */

const commandTimeoutMs = 15 * 60_000;

await runMain(async () => {
  const { values } = readOptions({
    options: {
      page: { type: "string", multiple: true },
      built: { type: "boolean", default: false },
      without: { type: "string" },
      keep: { type: "boolean", default: false },
    },
  });
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "downpour-docs-"));
  const totals = { passed: 0, failed: 0, leftOut: 0 };
  try {
    copyOfTree(root, folder, { built: values.built });
    for (const page of values.page ?? tested) {
      process.stdout.write(`${page}\n`);
      const { passed, failed, leftOut } = await followPage(
        fs.readFileSync(path.join(root, page), "utf8"),
        page,
        {
          folder,
          variables: environment,
          dataDirectory,
          without: values.without === undefined ? undefined : new RegExp(values.without),
          timeoutMs: commandTimeoutMs,
          say: (line) => process.stdout.write(`${line}\n`),
        },
      );
      totals.passed += passed;
      totals.failed += failed;
      totals.leftOut += leftOut;
    }
  } finally {
    if (values.keep) process.stdout.write(`left in ${folder}\n`);
    else fs.rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(`${totals.passed} passed, ${totals.failed} failed, ${totals.leftOut} left out\n`);
  process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;
});
