import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { headerFolders, libraryNames, tensorflowVersion, wheelFor } from "./pins.mjs";
import { lastLines, run } from "./processes.mjs";
import { ChecksumError, SetupError } from "./setup-error.mjs";
import { findPython } from "./tools.mjs";

const downloadTimeoutMs = 45 * 60_000;
const unpackTimeoutMs = 10 * 60_000;

/** Takes out of a wheel what the addon needs: 850 MB of libraries and some headers. */
const unpackProgram = `
import os, shutil, sys, zipfile
wheel, deps, core, framework, *header_folders = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
    missing = [n for n in (core, framework) if "tensorflow/" + n not in names]
    if missing:
        sys.exit("the wheel holds no " + " and no ".join("tensorflow/" + n for n in missing))
    members = [("tensorflow/" + n, "lib/" + n) for n in (core, framework)]
    prefix = "tensorflow/include/"
    for name in sorted(names):
        if name.startswith(tuple(prefix + f for f in header_folders)) and not name.endswith("/"):
            members.append((name, "include/" + name[len(prefix):]))
    for name, target in members:
        target = os.path.join(deps, *target.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with archive.open(name) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
`;

/**
 * Downloads the pinned wheel with pip, so that the user's index, proxy and certificates hold.
 *
 * @param {import("./config.mjs").SetupConfig} config
 * @param {string} folder an existing folder for the file
 * @param {(line: string) => void} log
 * @returns {Promise<string>} the file
 */
export async function downloadWheel(config, folder, log) {
  const wheel = wheelFor(config.platform, config.arch);
  if (wheel === undefined)
    throw new SetupError(`TensorFlow has no wheel for ${config.platform} ${config.arch}`);
  const python = findPython(config, { pip: true });
  if (python.command === undefined) throw new SetupError(`Python 3 with pip: ${python.found}`);
  const wanted = `${wheel.project}==${tensorflowVersion}`;
  log(`downloading ${wanted} (${wheel.megabytes} MB) with pip`);
  const only = [
    "--no-deps",
    "--only-binary=:all:",
    "--implementation=cp",
    "--abi=cp311",
    "--python-version=3.11",
  ];
  const where = [
    `--platform=${wheel.platformTag}`,
    `--dest=${folder}`,
    "--disable-pip-version-check",
    "--no-input",
  ];
  const result = await run([...python.command, "-m", "pip", "download", wanted, ...only, ...where], {
    env: config.env,
    timeoutMs: downloadTimeoutMs,
    stillRunning: (seconds) => log(`still downloading, ${seconds.toFixed(0)} s`),
  });
  const file = fs.readdirSync(folder).find((name) => name.endsWith(".whl"));
  if (!result.ok || file === undefined) {
    throw new SetupError(`pip download ${wanted} failed:\n${lastLines(result.output, 6)}`);
  }
  log(`downloaded TensorFlow, ${result.seconds.toFixed(1)} s`);
  return path.join(folder, file);
}

/**
 * @param {string} file
 * @returns {Promise<string>} hexadecimal
 */
export async function sha256Of(file) {
  const hash = createHash("sha256");
  await pipeline(fs.createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

/**
 * @param {string} file
 * @param {string | undefined} expected undefined: nothing to compare with
 * @returns {Promise<string>} the file's sha256
 * @throws {ChecksumError} when it differs
 */
export async function verifyWheel(file, expected) {
  const found = await sha256Of(file);
  if (expected !== undefined && found !== expected) {
    throw new ChecksumError(
      `the downloaded ${path.basename(file)} is not the file that was published: expected sha256 ${expected}, ` +
        `found ${found}. Nothing of it was used. Check the package index that pip is set to ("python3 -m pip config ` +
        'list"), or name a TensorFlow that you trust with DOWNPOUR_LIBTENSORFLOW',
    );
  }
  return found;
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {string} file
 * @param {string} deps the folder to make `lib/` and `include/` in
 * @param {(line: string) => void} log
 */
export async function unpackWheel(config, file, deps, log) {
  const python = findPython(config, { pip: false });
  if (python.command === undefined)
    throw new SetupError(`Python 3, which unpacks the wheel: ${python.found}`);
  const names = libraryNames(config.platform);
  const args = [file, deps, names.core, names.framework, ...headerFolders];
  const result = await run([...python.command, "-c", unpackProgram, ...args], {
    env: config.env,
    timeoutMs: unpackTimeoutMs,
    stillRunning: (seconds) => log(`still unpacking, ${seconds.toFixed(0)} s`),
  });
  if (!result.ok) {
    throw new SetupError(`can't unpack ${file}:\n${lastLines(result.output, 3)}`);
  }
  log(`unpacked the library, ${result.seconds.toFixed(1)} s`);
}
