import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { makeFolder } from "./cache.mjs";
import { withLock } from "./lock.mjs";
import { ask, lastLines, run } from "./processes.mjs";
import { SetupError } from "./setup-error.mjs";
import { findCompiler } from "./tools.mjs";

export const bindingFile = "tfjs_binding.node";
export const quietFile = "quiet_libtensorflow.node";

const compileTimeoutMs = 15 * 60_000;
const quietSource = fileURLToPath(new URL("./quiet-libtensorflow.cc", import.meta.url));

/** Loads both addons in a fresh process and asks TensorFlow for its version. */
const tryProgram = `
const [quiet, binding] = process.argv.slice(1);
require(quiet);
console.log(require(binding).TF_Version);
`;

/**
 * Compiles tfjs-node's binding and the quiet loader against a library folder of the cache, unless it is done.
 *
 * @param {import("./config.mjs").SetupConfig} config
 * @param {string} libraryFolder
 * @param {string} tfjsFolder the installed tfjs-node
 * @param {(line: string) => void} log
 * @returns {Promise<string>} the folder with both addons
 */
export async function provideAddon(config, libraryFolder, tfjsFolder, log) {
  const flags = compileFlags(config.platform, libraryFolder);
  const folder = path.join(libraryFolder, "lib", `napi-v8-${addonKey(tfjsFolder, flags)}`);
  if (fs.existsSync(folder)) return folder;
  await withLock(`${folder}.lock`, log, async () => {
    if (fs.existsSync(folder)) return;
    await makeFolder(folder, (temporary) =>
      compileInto(temporary, { config, libraryFolder, tfjsFolder, flags, log }),
    );
  });
  return folder;
}

/**
 * @typedef {{ binding: string[], quiet: string[] }} Flags
 */

/**
 * @param {string} platform
 * @param {string} libraryFolder
 * @returns {Flags} without the paths of this machine, save the run path to a library that lies elsewhere
 */
function compileFlags(platform, libraryFolder) {
  const mac = platform === "darwin";
  const both = ["-fPIC", "-O2", "-std=c++17", "-w", "-DNAPI_VERSION=8", "-DBUILDING_NODE_EXTENSION"];
  const shared = mac ? ["-bundle", "-undefined", "dynamic_lookup"] : ["-shared"];
  const origin = mac ? "@loader_path" : "$ORIGIN";
  const libraries = path.join(libraryFolder, "deps", "lib");
  const elsewhere = fs
    .readdirSync(libraries)
    .map((name) => path.dirname(fs.realpathSync(path.join(libraries, name))))
    .find((place) => place !== fs.realpathSync(libraries));
  const runPaths = [...(elsewhere ? [elsewhere] : []), `${origin}/../../deps/lib`];
  return {
    binding: [
      ...shared,
      ...both,
      "-DNODE_GYP_MODULE_NAME=tfjs_binding",
      "-ltensorflow",
      "-ltensorflow_framework",
      ...runPaths.map((place) => `-Wl,-rpath,${place}`),
    ],
    quiet: [...shared, ...both, "-DNODE_GYP_MODULE_NAME=quiet_libtensorflow", ...(mac ? [] : ["-ldl"])],
  };
}

/**
 * @param {string} tfjsFolder
 * @param {Flags} flags
 * @returns {string} another one for other sources or flags, so that a new version builds anew
 */
function addonKey(tfjsFolder, flags) {
  const hash = createHash("sha256").update(JSON.stringify(flags));
  const binding = path.join(tfjsFolder, "binding");
  const sources = fs.readdirSync(binding).sort();
  for (const file of [...sources.map((name) => path.join(binding, name)), quietSource]) {
    hash.update(`\n${path.basename(file)}\n`).update(fs.readFileSync(file));
  }
  return hash.digest("hex").slice(0, 12);
}

/**
 * @param {string} folder
 * @param {{ config: import("./config.mjs").SetupConfig, libraryFolder: string, tfjsFolder: string, flags: Flags,
 *   log: (line: string) => void }} job
 */
async function compileInto(folder, { config, libraryFolder, tfjsFolder, flags, log }) {
  const compiler = findCompiler(config);
  if (compiler.command === undefined) throw new SetupError(`C++ compiler: ${compiler.found}`);
  const [program = "", ...programArgs] = compiler.command;
  log(`compiling the TensorFlow addon with ${path.basename(program)}`);
  const startedMs = Date.now();
  const nodeHeaders = createRequire(import.meta.url)("node-api-headers").include_dir;
  const binding = path.join(tfjsFolder, "binding");
  const sources = fs.readdirSync(binding).filter((name) => name.endsWith(".cc"));
  const deps = path.join(libraryFolder, "deps");
  const steps = [
    [`-I${nodeHeaders}`, quietSource, ...flags.quiet, "-o", path.join(folder, quietFile)],
    [
      `-I${nodeHeaders}`,
      `-I${path.join(deps, "include")}`,
      ...sources.map((name) => path.join(binding, name)),
      `-L${path.join(deps, "lib")}`,
      ...flags.binding,
      "-o",
      path.join(folder, bindingFile),
    ],
  ];
  for (const args of steps) {
    const result = await run([program, ...programArgs, ...args], {
      env: config.env,
      timeoutMs: compileTimeoutMs,
      stillRunning: (seconds) => log(`still compiling, ${seconds.toFixed(0)} s`),
    });
    if (!result.ok) {
      throw new SetupError(
        `the addon does not compile (${compiler.found}):\n${lastLines(result.output, 12)}`,
      );
    }
  }
  const version = tryAddon(folder, config.env);
  log(`compiled the addon for TensorFlow ${version}, ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
}

/**
 * @param {string} folder
 * @param {NodeJS.ProcessEnv} env
 * @returns {string} TensorFlow's version
 * @throws {SetupError} when the addon can't be loaded: the loader's reason
 */
function tryAddon(folder, env) {
  const files = [path.join(folder, quietFile), path.join(folder, bindingFile)];
  const answer = ask([process.execPath, "-e", tryProgram, ...files], { ...env, TF_CPP_MIN_LOG_LEVEL: "2" });
  if (answer.ok) return answer.output;
  const reason = answer.output.split("\n").find((line) => line.startsWith("Error:")) ?? answer.output;
  throw new SetupError(`the compiled addon can't be loaded: ${reason.replace("Error: ", "")}`);
}
