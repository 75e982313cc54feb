import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { provideLibtensorflow } from "./libtensorflow.mjs";
import {
  linuxConfig,
  temporaryFolder,
  writeFakePython,
  writeFakeTensorflow,
  writeFakeTfjs,
  writeProgram,
} from "./test-fixtures.mjs";

it("names each way that failed, and what helps", async () => {
  const folder = temporaryFolder();
  const PYTHON = writeFakePython(folder, 'echo "no route to host" >&2; exit 1');
  const config = linuxConfig(path.join(folder, "cache"), { PYTHON });
  const tfjsFolder = writeFakeTfjs(path.join(folder, "tfjs"), 'throw new Error("getaddrinfo ENOTFOUND")');
  const refusal = provideLibtensorflow({ config, tfjsFolder });
  await expect(refusal).rejects.toThrow(
    "1. TensorFlow 2.21.0's wheel: pip download tensorflow-cpu==2.21.0 failed:",
  );
  await expect(refusal).rejects.toThrow("no route to host");
  await expect(refusal).rejects.toThrow("2. tfjs-node's own download: its script left no tfjs_binding.node:");
  await expect(refusal).rejects.toThrow("getaddrinfo ENOTFOUND");
  await expect(refusal).rejects.toThrow("DOWNPOUR_LIBTENSORFLOW=<file.whl>");
});

it("tries nothing else after a wrong checksum", async () => {
  const folder = temporaryFolder();
  const PYTHON = writeFakePython(folder, 'printf abc > "$dest/x.whl"');
  const config = linuxConfig(path.join(folder, "cache"), { PYTHON });
  const tried = path.join(folder, "tried");
  const script = `require("fs").writeFileSync(${JSON.stringify(tried)}, "")`;
  const tfjsFolder = writeFakeTfjs(path.join(folder, "tfjs"), script);
  await expect(provideLibtensorflow({ config, tfjsFolder })).rejects.toThrow(
    "is not the file that was published",
  );
  expect(fs.existsSync(tried)).toBe(false);
});

it("never falls back silently from a wrong DOWNPOUR_LIBTENSORFLOW", async () => {
  const folder = temporaryFolder();
  const config = linuxConfig(folder, { DOWNPOUR_LIBTENSORFLOW: path.join(folder, "absent") });
  const tfjsFolder = writeFakeTfjs(path.join(folder, "tfjs"), "");
  await expect(provideLibtensorflow({ config, tfjsFolder })).rejects.toThrow("Found: no such file or folder");
});

it("shows the compiler's last lines when the addon does not compile", async () => {
  const folder = temporaryFolder();
  const DOWNPOUR_LIBTENSORFLOW = writeFakeTensorflow(path.join(folder, "tensorflow"));
  const script =
    '[ "$1" = --version ] && echo "cc 1.0" && exit 0\necho "error: expected a semicolon" >&2; exit 1';
  const CXX = writeProgram(path.join(folder, "my-c++"), script);
  const config = linuxConfig(path.join(folder, "cache"), { DOWNPOUR_LIBTENSORFLOW, CXX });
  const tfjsFolder = writeFakeTfjs(path.join(folder, "tfjs"), "");
  await expect(provideLibtensorflow({ config, tfjsFolder })).rejects.toThrow(
    "the addon does not compile (cc 1.0):\n    error: expected a semicolon",
  );
  expect(fs.existsSync(path.join(tfjsFolder, "deps"))).toBe(false);
});

it("refuses an addon that can't be loaded, with the loader's reason, and links nothing", async () => {
  const folder = temporaryFolder();
  const DOWNPOUR_LIBTENSORFLOW = writeFakeTensorflow(path.join(folder, "tensorflow"));
  const script = `[ "$1" = --version ] && echo "cc 1.0" && exit 0
while [ "$1" != -o ]; do shift; done
echo nothing > "$2"`;
  const CXX = writeProgram(path.join(folder, "my-c++"), script);
  const config = linuxConfig(path.join(folder, "cache"), { DOWNPOUR_LIBTENSORFLOW, CXX });
  const tfjsFolder = writeFakeTfjs(path.join(folder, "tfjs"), "");
  const refusal = provideLibtensorflow({ config, tfjsFolder });
  await expect(refusal).rejects.toThrow(
    /the compiled addon can't be loaded: .*quiet_libtensorflow\.node: file too short/,
  );
  expect(fs.existsSync(path.join(tfjsFolder, "lib"))).toBe(false);
});

it("goes to tfjs-node's own download where no wheel can be had, and refuses an addon of it that can't be loaded", async () => {
  const folder = temporaryFolder();
  const config = { ...linuxConfig(path.join(folder, "cache")), arch: "riscv64" };
  const script = `
    const fs = require("fs");
    fs.mkdirSync("lib/napi-v8", { recursive: true });
    fs.writeFileSync("lib/napi-v8/tfjs_binding.node", "");
`;
  const tfjsFolder = writeFakeTfjs(path.join(folder, "tfjs"), script);
  await expect(provideLibtensorflow({ config, tfjsFolder })).rejects.toThrow("its addon can't be loaded");
});
