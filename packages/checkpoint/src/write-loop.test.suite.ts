import { argv, stdout } from "node:process";
import { loadLatest } from "./read-checkpoint.ts";
import { writeSample } from "./sample.test.suite.ts";

/* A process that writes one checkpoint after the other until it is killed: node write-loop.test.suite.js FOLDER EPOCH */

const store = argv[2] ?? "";
const coordinatorEpoch = Number(argv[3]);
const newest = await loadLatest(store, {}).then(
  ({ checkpoint }) => checkpoint.id.sequence,
  () => 0,
);
stdout.write("ready\n");
for (let sequence = newest + 1; ; sequence++) await writeSample(store, { sequence, coordinatorEpoch });
