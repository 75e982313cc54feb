// All benchmarks, one after another: `npm run bench [-- --data-dir FOLDER] [--smoke] [--json]`. With --smoke each
// runs as small as it can, to see that it does. DOWNPOUR_PYTHON names a Python with PyTorch to compare with; data sets
// that the folder does not have are left out. Each benchmark by itself takes more options: docs/benchmarks.md.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { readOptions } from "../scripts/options.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
// Needs a Docker engine, so only when asked for: `pnpm bench compose`.
if (process.argv[2] === "compose") {
  const command = [path.join(root, "bench/compose.mjs"), ...process.argv.slice(3)];
  process.exit(spawnSync(process.execPath, command, { stdio: "inherit" }).status ?? 1);
}
const { values: options } = readOptions({
  options: {
    "data-dir": { type: "string", default: "" },
    smoke: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const downpour = path.join(root, "packages/cli/bin/downpour.js");
const data = options["data-dir"];
const small = options.smoke ? ["--rounds", "1", "--steps", "2", "--batch", "8"] : [];

/** Whether the data folder has this. @param {string} name */
const has = (name) => data !== "" && existsSync(path.join(data, name));

const benchmarks = [
  ...[
    ["lenet5", "float32"],
    ["cifar-cnn", "float32"],
    ["resnet20", "float32"],
    ["resnet20", "bf16"],
  ].map(([model, precision]) => [
    ...[downpour, "bench", "compute"],
    ...["--model", model, "--precision", precision, ...small],
  ]),
  [downpour, "bench", "input", ...small],
  ...(has("flowers")
    ? [[downpour, "bench", "input", "--data-dir", data, "--path", "flowers", ...small]]
    : []),
  ...(has("cifar-10-batches-bin")
    ? [[downpour, "bench", "input", "--data-dir", data, "--set", "cifar10", ...small]]
    : []),
  ...["momentum", "adam"].map((optimizer) => [
    ...[downpour, "bench", "apply", "--optimizer", optimizer],
    ...(options.smoke ? ["--rounds", "1", "--steps", "2", "--parameters", "200000"] : []),
  ]),
  [
    downpour,
    "bench",
    "wire",
    "--tls",
    ...(options.smoke ? ["--rounds", "1", "--steps", "2", "--mebibytes", "2"] : []),
  ],
  [
    downpour,
    "bench",
    "checkpoint",
    ...(options.smoke ? ["--rounds", "1", "--seconds", "1", "--parameters", "200000", "--batch", "8"] : []),
  ],
  ...(options.smoke ? ["lenet5"] : ["lenet5", "cifar-cnn", "resnet20"]).map((model) => [
    ...[downpour, "bench", "cluster", "--model", model, "--workers", "1,2"],
    ...(options.smoke ? ["--rounds", "1", "--warmup", "1", "--seconds", "1", "--batch", "8"] : []),
  ]),
];

let failed = 0;
for (const [program, ...args] of benchmarks) {
  const line = [path.relative(root, program), ...args].join(" ");
  process.stderr.write(`\n${line}\n`);
  const command = [program, ...args, ...(options.json ? ["--json"] : [])];
  const { status } = spawnSync(process.execPath, command, { stdio: "inherit" });
  if (status === 0) continue;
  failed++;
  process.stderr.write(`failed with status ${status}: ${line}\n`);
}
process.exitCode = failed === 0 ? 0 : 1;
