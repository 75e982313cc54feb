import fs from "node:fs";
import path from "node:path";
import { readSetupConfig } from "../../packages/worker/setup/config.mjs";
import { provideLibtensorflow } from "../../packages/worker/setup/libtensorflow.mjs";

/*
 * While the image is built: compiles tfjs-node's addon, links it and the library into tfjs-node, and copies what was
 * compiled to a folder of its own, so that it makes a layer apart from the library's.
 */
const libraries = "/opt/downpour";
const [variant = "cpu", target = "/opt/addon"] = process.argv.slice(2);
const own = variant === "gpu" ? { DOWNPOUR_LIBTENSORFLOW: path.join(libraries, "gpu", "tensorflow") } : {};
const config = readSetupConfig({
  PATH: "/usr/local/bin:/usr/bin:/bin",
  DOWNPOUR_CACHE_DIR: libraries,
  ...own,
});
const before = new Set(fs.readdirSync(libraries));
await provideLibtensorflow({ config, log: (line) => process.stderr.write(`${line}\n`) });
fs.mkdirSync(target, { recursive: true });
for (const name of fs.readdirSync(libraries).filter((each) => each.startsWith("tfjs-node-"))) {
  const parts = before.has(name) ? ["lib"] : ["lib", "deps", "provenance.json"];
  for (const part of parts) {
    fs.cpSync(path.join(libraries, name, part), path.join(target, name, part), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
}
