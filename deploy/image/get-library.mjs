import { readSetupConfig } from "../../packages/worker/setup/config.mjs";
import { planLibrary, provideLibrary } from "../../packages/worker/setup/library.mjs";

/* While the image is built: TensorFlow's library into the cache folder, without tfjs-node, which changes more often. */
const config = readSetupConfig();
await provideLibrary(config, await planLibrary(config), (line) => process.stderr.write(`${line}\n`));
