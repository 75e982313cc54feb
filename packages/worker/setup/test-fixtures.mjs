import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { onTestFinished } from "vitest";
import { readSetupConfig } from "./config.mjs";
import { libraryNames } from "./pins.mjs";

/** @returns {string} a new folder, removed when the test ends */
export function temporaryFolder() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "downpour-setup-"));
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * @param {string} cacheFolder
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {import("./config.mjs").SetupConfig} of a Linux x64 machine that has nothing but `env`
 */
export function linuxConfig(cacheFolder, env = {}) {
  return readSetupConfig(
    { PATH: "", HOME: cacheFolder, DOWNPOUR_CACHE_DIR: cacheFolder, ...env },
    { platform: "linux", arch: "x64", nodeVersion: "22.1.0" },
  );
}

/**
 * @param {string} file
 * @param {string} script lines of sh
 * @returns {string} the file
 */
export function writeProgram(file, script) {
  fs.writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return file;
}

/**
 * A Python that answers for its version, and runs `download` for `pip download`, with the folder in `$dest`.
 *
 * @param {string} folder
 * @param {string} download lines of sh
 * @returns {string} the program
 */
export function writeFakePython(folder, download) {
  const script = `
case "$*" in
  --version) echo "Python 3.11.7" ;;
  "-m pip --version") echo "pip 23.2.1 from nowhere" ;;
  "-m pip download"*)
    for arg in "$@"; do case "$arg" in --dest=*) dest=\${arg#--dest=} ;; esac; done
    ${download} ;;
  *) echo "unexpected: $*" >&2; exit 64 ;;
esac`;
  return writeProgram(path.join(folder, "fake-python"), script);
}

/**
 * A folder in the shape of a wheel's `tensorflow/`, without anything that would run.
 *
 * @param {string} folder
 * @returns {string} the folder
 */
export function writeFakeTensorflow(folder) {
  const names = libraryNames("linux");
  fs.mkdirSync(path.join(folder, "include", "tensorflow", "c"), { recursive: true });
  fs.writeFileSync(path.join(folder, names.core), "core");
  fs.writeFileSync(path.join(folder, names.framework), "framework");
  fs.writeFileSync(path.join(folder, "include", "tensorflow", "c", "c_api.h"), "// the C API\n");
  return folder;
}

/**
 * A folder in the shape of an installed tfjs-node.
 *
 * @param {string} folder
 * @param {string} installScript JavaScript of its scripts/install.js
 * @returns {string} the folder
 */
export function writeFakeTfjs(folder, installScript) {
  fs.mkdirSync(path.join(folder, "binding"), { recursive: true });
  fs.mkdirSync(path.join(folder, "scripts"));
  fs.writeFileSync(path.join(folder, "package.json"), "{}\n");
  fs.writeFileSync(path.join(folder, "binding", "binding.cc"), "// the binding\n");
  fs.writeFileSync(path.join(folder, "scripts", "install.js"), installScript);
  return folder;
}
