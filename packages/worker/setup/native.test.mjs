import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { bindingFile } from "./addon.mjs";
import { tfjsPlaces } from "./link.mjs";
import { provideNative, refuseMissing } from "./native.mjs";
import {
  linuxConfig,
  temporaryFolder,
  writeFakePython,
  writeFakeTfjs,
  writeProgram,
} from "./test-fixtures.mjs";

/** A machine with an empty PATH and an empty cache. */
function bareMachine(env = {}) {
  const folder = temporaryFolder();
  return {
    config: linuxConfig(path.join(folder, "cache"), env),
    tfjsFolder: writeFakeTfjs(path.join(folder, "tfjs"), ""),
  };
}

it("goes on without compiler and Python, and says in one line what is missing and where help is", async () => {
  const { config, tfjsFolder } = bareMachine();
  refuseMissing(config, tfjsFolder);
  /** @type {string[]} */
  const said = [];
  const outcome = await provideNative({ config, tfjsFolder, log: (line) => said.push(line) });
  expect(outcome).toEqual({
    state: "portable",
    line:
      "no native TensorFlow (C++ compiler: not found; Python 3 with pip: not found): the portable device computes, " +
      'which is slower; "npx downpour doctor" shows how to get the native one',
  });
  expect(said).toEqual([]);
  expect(fs.existsSync(config.cacheFolder)).toBe(false);
});

it("goes on when no download works, with each reason in the one line", async () => {
  const folder = temporaryFolder();
  const PYTHON = writeFakePython(folder, 'echo "no route to host" >&2; exit 1');
  const CXX = writeProgram(path.join(folder, "my-c++"), 'echo "cc 1.0"');
  const config = linuxConfig(path.join(folder, "cache"), { PYTHON, CXX });
  const tfjsFolder = writeFakeTfjs(path.join(folder, "tfjs"), 'throw new Error("getaddrinfo ENOTFOUND")');
  const outcome = await provideNative({ config, tfjsFolder });
  expect(outcome.state).toBe("portable");
  const { line } = /** @type {{ line: string }} */ (outcome);
  expect(line.split("\n")).toHaveLength(1);
  expect(line).toContain(
    "pip download tensorflow-cpu==2.21.0 failed, no route to host; tfjs-node's own download:",
  );
  expect(line).toContain("getaddrinfo ENOTFOUND");
});

it.each(["portable", "webgpu"])("tries and needs nothing for the device %s", async (device) => {
  const { config, tfjsFolder } = bareMachine({ DOWNPOUR_DEVICE: device });
  refuseMissing(config, tfjsFolder);
  expect(await provideNative({ config, tfjsFolder })).toEqual({ state: "skipped" });
});

it.each(["cpu", "cuda"])("refuses to go on without compiler and Python for the device %s", async (device) => {
  const { config, tfjsFolder } = bareMachine({ DOWNPOUR_DEVICE: device });
  expect(() => refuseMissing(config, tfjsFolder)).toThrow(
    /2 things are missing:[\s\S]*sudo apt-get install g\+\+/,
  );
  await expect(provideNative({ config, tfjsFolder })).rejects.toThrow("no way to get TensorFlow worked");
});

it("refuses a wrong DOWNPOUR_LIBTENSORFLOW on any machine", async () => {
  const { config, tfjsFolder } = bareMachine({ DOWNPOUR_LIBTENSORFLOW: "/nowhere" });
  expect(() => refuseMissing(config, tfjsFolder)).toThrow("DOWNPOUR_LIBTENSORFLOW=/nowhere can't be used");
  await expect(provideNative({ config, tfjsFolder })).rejects.toThrow("Found: no such file or folder");
});

it("refuses a download that is not the published file, rather than go on without it", async () => {
  const folder = temporaryFolder();
  const PYTHON = writeFakePython(folder, 'printf abc > "$dest/x.whl"');
  const CXX = writeProgram(path.join(folder, "my-c++"), 'echo "cc 1.0"');
  const config = linuxConfig(path.join(folder, "cache"), { PYTHON, CXX });
  const tfjsFolder = writeFakeTfjs(path.join(folder, "tfjs"), "");
  await expect(provideNative({ config, tfjsFolder })).rejects.toThrow("is not the file that was published");
});

it("refuses an old Node for every device", () => {
  const { config, tfjsFolder } = bareMachine({ DOWNPOUR_DEVICE: "portable" });
  expect(() => refuseMissing({ ...config, nodeVersion: "18.20.0" }, tfjsFolder)).toThrow(
    /one thing is missing:\s+Node\.js: 18\.20\.0/,
  );
});

it("does not hide that a linked TensorFlow can't be renewed", async () => {
  const { config, tfjsFolder } = bareMachine();
  const { addon } = tfjsPlaces(tfjsFolder);
  fs.mkdirSync(addon, { recursive: true });
  fs.writeFileSync(path.join(addon, bindingFile), "");
  await expect(provideNative({ config, tfjsFolder })).rejects.toThrow("no way to get TensorFlow worked");
});
