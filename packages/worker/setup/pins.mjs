import fs from "node:fs";

/** @type {{ dependencies: Record<string, string> }} */
const workerPackage = JSON.parse(fs.readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** The version that packages/worker depends on, exact. */
export const tfjsNodeVersion = workerPackage.dependencies["@tensorflow/tfjs-node"] ?? "unknown";

export const tensorflowVersion = "2.21.0";

/**
 * A TensorFlow wheel on the Python package index.
 *
 * @typedef {object} Wheel
 * @property {string} project name on the index
 * @property {string} platformTag
 * @property {number} megabytes size of the download, for the message
 * @property {string | undefined} sha256 undefined where no machine was at hand to check one; pip still compares
 *   the file with the hash that the index gives
 */

/** Linux x64 is what is tested. The other two are best effort. @type {Record<string, Wheel>} */
const wheels = {
  "linux-x64": {
    project: "tensorflow-cpu",
    platformTag: "manylinux_2_27_x86_64",
    megabytes: 274,
    sha256: "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c",
  },
  "linux-arm64": {
    project: "tensorflow",
    platformTag: "manylinux_2_27_aarch64",
    megabytes: 280,
    sha256: undefined,
  },
  "darwin-arm64": {
    project: "tensorflow",
    platformTag: "macosx_12_0_arm64",
    megabytes: 260,
    sha256: undefined,
  },
};

/**
 * The wheel for a machine; undefined where TensorFlow publishes none that holds the library.
 *
 * @param {string} platform
 * @param {string} arch
 * @returns {Wheel | undefined}
 */
export function wheelFor(platform, arch) {
  return wheels[`${platform}-${arch}`];
}

/**
 * Names of TensorFlow's libraries, as the wheel has them, and the names that the linker looks for.
 *
 * @typedef {{ core: string, framework: string, links: Record<string, string> }} LibraryNames
 */

/**
 * @param {string} platform
 * @returns {LibraryNames}
 */
export function libraryNames(platform) {
  const names =
    platform === "darwin"
      ? { core: "libtensorflow_cc.2.dylib", framework: "libtensorflow_framework.2.dylib", suffix: "dylib" }
      : { core: "libtensorflow_cc.so.2", framework: "libtensorflow_framework.so.2", suffix: "so" };
  return {
    core: names.core,
    framework: names.framework,
    links: {
      [`libtensorflow.${names.suffix}`]: names.core,
      [`libtensorflow_framework.${names.suffix}`]: names.framework,
    },
  };
}

/** The C API and what it includes: all that the addon is compiled against. Paths inside `include/`. */
export const headerFolders = ["tensorflow/c/", "tensorflow/core/platform/", "tsl/platform/", "xla/tsl/c/"];
