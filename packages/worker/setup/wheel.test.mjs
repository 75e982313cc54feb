import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { planLibrary, provideLibrary } from "./library.mjs";
import { findProgram } from "./processes.mjs";
import { ChecksumError } from "./setup-error.mjs";
import { linuxConfig, temporaryFolder, writeFakePython } from "./test-fixtures.mjs";
import { sha256Of, verifyWheel } from "./wheel.mjs";

const python = findProgram("python3", process.env);
const wheelName = "tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl";
/** Of "abc": FIPS 180-2, appendix B.1. */
const sha256OfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

it("computes the sha256 of a file", async () => {
  const file = path.join(temporaryFolder(), "abc");
  fs.writeFileSync(file, "abc");
  expect(await sha256Of(file)).toBe(sha256OfAbc);
  expect(await verifyWheel(file, sha256OfAbc)).toBe(sha256OfAbc);
});

it("refuses a download with another checksum, names both, and keeps nothing of it", async () => {
  const folder = temporaryFolder();
  const PYTHON = writeFakePython(folder, `printf abc > "$dest/${wheelName}"; echo PATH kept`);
  const cache = path.join(folder, "cache");
  const config = linuxConfig(cache, { PYTHON });
  const refusal = provideLibrary(config, await planLibrary(config), () => {});
  await expect(refusal).rejects.toThrow(ChecksumError);
  await expect(refusal).rejects.toThrow(/expected sha256 2b847d21[0-9a-f]+, found ba7816bf[0-9a-f]+/);
  expect(fs.readdirSync(cache)).toEqual([]);
});

it("shows what pip said when a download fails", async () => {
  const folder = temporaryFolder();
  const PYTHON = writeFakePython(folder, 'echo "ERROR: No matching distribution found" >&2; exit 1');
  const config = linuxConfig(path.join(folder, "cache"), { PYTHON });
  await expect(provideLibrary(config, await planLibrary(config), () => {})).rejects.toThrow(
    "pip download tensorflow-cpu==2.21.0 failed:\n    ERROR: No matching distribution found",
  );
});

describe.skipIf(python === undefined)("a wheel given as a file", () => {
  /**
   * @param {Record<string, string>} members
   * @returns {string} the wheel
   */
  function writeWheel(members) {
    const file = path.join(temporaryFolder(), "tensorflow-9.9.9-py3-none-any.whl");
    const program = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for name, text in json.loads(sys.argv[2]).items():
        archive.writestr(name, text)
`;
    execFileSync(String(python), ["-c", program, file, JSON.stringify(members)]);
    return file;
  }

  /** @param {string} wheel */
  function configFor(wheel) {
    const cache = path.join(temporaryFolder(), "cache");
    return linuxConfig(cache, { PATH: process.env.PATH, PYTHON: python, DOWNPOUR_LIBTENSORFLOW: wheel });
  }

  it("gives its libraries and the headers of the C API, and nothing else", async () => {
    const wheel = writeWheel({
      "tensorflow/libtensorflow_cc.so.2": "core",
      "tensorflow/libtensorflow_framework.so.2": "framework",
      "tensorflow/include/tensorflow/c/c_api.h": "// the C API",
      "tensorflow/include/tensorflow/core/framework/tensor.h": "// not needed",
      "tensorflow/python/__init__.py": "",
    });
    const config = configFor(wheel);
    const plan = await planLibrary(config);
    const provenance = await provideLibrary(config, plan, () => {});
    expect(provenance.wheelSha256).toBe(await sha256Of(wheel));
    expect(provenance.libraries).toEqual({ "libtensorflow_cc.so.2": 4, "libtensorflow_framework.so.2": 9 });
    const include = path.join(plan.folder, "deps", "include", "tensorflow");
    expect(fs.readdirSync(include)).toEqual(["c"]);
    expect(fs.readdirSync(plan.folder).sort()).toEqual(["deps", "provenance.json"]);
  });

  it("is refused when it holds no library", async () => {
    const config = configFor(writeWheel({ "tensorflow/__init__.py": "" }));
    await expect(provideLibrary(config, await planLibrary(config), () => {})).rejects.toThrow(
      "the wheel holds no tensorflow/libtensorflow_cc.so.2 and no tensorflow/libtensorflow_framework.so.2",
    );
  });

  it("is unpacked again when a library in the cache is damaged", async () => {
    const wheel = writeWheel({
      "tensorflow/libtensorflow_cc.so.2": "core",
      "tensorflow/libtensorflow_framework.so.2": "framework",
    });
    const config = configFor(wheel);
    const plan = await planLibrary(config);
    await provideLibrary(config, plan, () => {});
    const core = path.join(plan.folder, "deps", "lib", "libtensorflow_cc.so.2");
    fs.writeFileSync(core, "co");
    await provideLibrary(config, plan, () => {});
    expect(fs.readFileSync(core, "utf8")).toBe("core");
  });
});
