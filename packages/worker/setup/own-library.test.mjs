import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { planLibrary, provideLibrary } from "./library.mjs";
import { inspectOwnLibrary } from "./own-library.mjs";
import { linuxConfig, temporaryFolder, writeFakeTensorflow } from "./test-fixtures.mjs";

it("refuses a folder that does not exist", () => {
  expect(() => inspectOwnLibrary("/no/such/folder", "linux")).toThrow(
    "DOWNPOUR_LIBTENSORFLOW=/no/such/folder can't be used. Looked for: libtensorflow_cc.so.2, " +
      "libtensorflow_framework.so.2, include/tensorflow/c/c_api.h. Found: no such file or folder",
  );
});

it("refuses a folder without the libraries, and names what it found and what is missing", () => {
  const folder = writeFakeTensorflow(temporaryFolder());
  fs.rmSync(path.join(folder, "libtensorflow_cc.so.2"));
  expect(() => inspectOwnLibrary(folder, "linux")).toThrow(
    "Found: a folder with include, libtensorflow_framework.so.2, without libtensorflow_cc.so.2.",
  );
});

it("refuses a file that is not a wheel", () => {
  const file = path.join(temporaryFolder(), "tensorflow.tar.gz");
  fs.writeFileSync(file, "");
  expect(() => inspectOwnLibrary(file, "linux")).toThrow("Found: a file that is not a wheel (.whl)");
});

it("takes the folder itself, or the tensorflow/ folder in it", () => {
  const parent = temporaryFolder();
  const folder = fs.realpathSync(writeFakeTensorflow(path.join(parent, "tensorflow")));
  expect(inspectOwnLibrary(folder, "linux")).toEqual({ kind: "folder", folder });
  expect(inspectOwnLibrary(parent, "linux")).toEqual({ kind: "folder", folder });
});

it("links a folder into the cache, with the names that the linker looks for", async () => {
  const parent = temporaryFolder();
  const own = writeFakeTensorflow(path.join(parent, "tensorflow"));
  const config = linuxConfig(path.join(parent, "cache"), { DOWNPOUR_LIBTENSORFLOW: own });
  const plan = await planLibrary(config);
  const provenance = await provideLibrary(config, plan, () => {});
  expect(provenance.source).toBe(`used from the folder ${fs.realpathSync(own)}`);
  const lib = path.join(plan.folder, "deps", "lib");
  expect(fs.readFileSync(path.join(lib, "libtensorflow.so"), "utf8")).toBe("core");
  expect(fs.readFileSync(path.join(lib, "libtensorflow_framework.so"), "utf8")).toBe("framework");
  expect(fs.existsSync(path.join(plan.folder, "deps", "include", "tensorflow", "c", "c_api.h"))).toBe(true);
});

it("takes a folder with another library for another one", async () => {
  const parent = temporaryFolder();
  const own = writeFakeTensorflow(path.join(parent, "tensorflow"));
  const config = linuxConfig(path.join(parent, "cache"), { DOWNPOUR_LIBTENSORFLOW: own });
  const before = await planLibrary(config);
  fs.writeFileSync(path.join(own, "libtensorflow_cc.so.2"), "another core");
  expect((await planLibrary(config)).folder).not.toBe(before.folder);
});
