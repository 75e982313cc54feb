import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineJob, launch } from "downpour";
import { makeData } from "./make-data.mjs";

/* node examples/own-model/train.mjs [FOLDER]: the data and the run go to FOLDER, or to a temporary one. */

const folder = process.argv[2] ?? (await mkdtemp(join(tmpdir(), "shapes-")));
await makeData(join(folder, "shapes"), 120);

const job = defineJob({
  name: "shapes",
  data: {
    set: { name: "images", path: join(folder, "shapes"), height: 32, width: 32, channels: 1, resize: 1 },
    validation: 0.2,
    batchSize: 16,
    shardBatches: 4,
  },
  model: {
    name: "module",
    path: fileURLToPath(new URL("model.mjs", import.meta.url)),
    options: { filters: 8 },
  },
  optimizer: { name: "adam" },
  learningRate: { initial: 0.003 },
  training: { epochs: 12, targetAccuracy: 1 },
  cluster: { workers: 2, servers: 1 },
});

const run = await launch(job, {
  runDirectory: join(folder, "run"),
  onWarning: (text) => console.error(text),
});

for await (const { event } of run.events) {
  if (event.type === "memberJoined") console.log(`${event.memberId} joined`);
  if (event.type === "evaluated") {
    console.log(
      `epoch ${event.epoch.toFixed(1)}: ${(event.accuracy * 100).toFixed(1)} % of the validation images`,
    );
  }
}

const { testAccuracy, modelDirectory } = await run.summary;
console.log(`${((testAccuracy ?? 0) * 100).toFixed(1)} % of the test images`);
console.log(`model: ${modelDirectory}`);
