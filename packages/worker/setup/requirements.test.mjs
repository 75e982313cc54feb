import { expect, it } from "vitest";
import { readSetupConfig } from "./config.mjs";
import { checkBeforeSetup, checkRequirements, formatMissing, isNodeSupported } from "./requirements.mjs";
import {
  linuxConfig,
  temporaryFolder,
  writeFakePython,
  writeFakeTensorflow,
  writeProgram,
} from "./test-fixtures.mjs";

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {string[]}
 */
function namesOfMissing(config) {
  return checkBeforeSetup(config)
    .filter((requirement) => !requirement.ok)
    .map((requirement) => requirement.name);
}

it("names all that is missing at once on a machine with an empty PATH", () => {
  const config = { ...linuxConfig(temporaryFolder()), nodeVersion: "18.20.0" };
  const message = formatMissing(checkBeforeSetup(config));
  expect(message).toContain("3 things are missing");
  expect(message).toContain("Node.js: 18.20.0. Needed: 20.11 or a later 20, 22 or 24");
  expect(message).toContain("C++ compiler: not found");
  expect(message).toContain("sudo apt-get install g++");
  expect(message).toContain("Python 3 with pip: not found");
  expect(message).toContain("sudo dnf install python3 python3-pip");
});

it("says nothing when nothing is missing", () => {
  expect(formatMissing([{ name: "x", ok: true, found: "1", needed: "1", fix: "" }])).toBeUndefined();
});

it("accepts Node 20.11 and newer, 22 and 24, and no others", () => {
  const versions = [
    "18.20.8",
    "20.10.0",
    "20.11.0",
    "20.20.2",
    "21.7.3",
    "22.0.0",
    "23.1.0",
    "24.21.0",
    "25.0.0",
  ];
  expect(versions.filter(isNodeSupported)).toEqual(["20.11.0", "20.20.2", "22.0.0", "24.21.0"]);
});

it("takes the compiler and the Python that the user names", () => {
  const folder = temporaryFolder();
  const CXX = writeProgram(`${folder}/my-c++`, 'echo "my compiler 1.0"');
  const PYTHON = writeFakePython(folder, "exit 1");
  expect(namesOfMissing(linuxConfig(folder, { CXX: `${CXX} -march=native`, PYTHON }))).toEqual([]);
});

it("says that a named compiler is not there, and takes no other", () => {
  const message = formatMissing(
    checkBeforeSetup(readSetupConfig({ ...process.env, CXX: "/no/such/compiler" })),
  );
  // Where the library is built already, no compiler is needed.
  if (message !== undefined) expect(message).toContain("CXX=/no/such/compiler is not a program");
});

it("says when Python is there without pip", () => {
  const folder = temporaryFolder();
  const PYTHON = writeProgram(`${folder}/python`, '[ "$1" = --version ] && echo "Python 3.12.1"');
  const python = checkBeforeSetup(linuxConfig(folder, { PYTHON })).find(
    (r) => r.name === "Python 3 with pip",
  );
  expect(python?.ok).toBe(false);
  expect(python?.found).toBe(`Python 3.12.1 (${PYTHON}) without pip`);
});

it("needs no Python when the user names a TensorFlow folder", () => {
  const folder = temporaryFolder();
  const DOWNPOUR_LIBTENSORFLOW = writeFakeTensorflow(`${folder}/tensorflow`);
  expect(namesOfMissing(linuxConfig(folder, { DOWNPOUR_LIBTENSORFLOW }))).toEqual(["C++ compiler"]);
});

it("lists a wrong DOWNPOUR_LIBTENSORFLOW among the rest", () => {
  const config = linuxConfig(temporaryFolder(), { DOWNPOUR_LIBTENSORFLOW: "/no/such/folder" });
  expect(namesOfMissing(config)).toEqual(["C++ compiler", "DOWNPOUR_LIBTENSORFLOW"]);
});

it("needs neither compiler nor Python where there is no wheel, and says that the machine is not tested", () => {
  const config = { ...linuxConfig(temporaryFolder()), platform: /** @type {const} */ ("win32") };
  expect(namesOfMissing(config)).toEqual([]);
  expect(checkBeforeSetup(config)[1]?.found).toBe("win32 x64, not tested");
});

it("ends with the state of libtensorflow", () => {
  expect(checkRequirements(linuxConfig(temporaryFolder())).at(-1)?.name).toBe("libtensorflow");
});
