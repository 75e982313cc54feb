// pnpm run soak: trains a real cluster while its members are killed, stopped and cut off, and checks that nothing is lost.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { hasNatsServer, makeNatsNodes, natsTlsArgs, seededRandom, soak } from "@downpour/faults";
import { choiceOption, integerOption, numberOption, readOptions } from "./options.mjs";

const { values } = readOptions({
  options: {
    minutes: { type: "string", default: "2" },
    "fault-every": { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    "nats-nodes": { type: "string", default: "1" },
    replicas: { type: "string", default: "1" },
    keep: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const minutes = numberOption("minutes", values.minutes, 0.1);
const faultEverySeconds = numberOption("fault-every", values["fault-every"], 1);
const seed = integerOption("seed", values.seed, 0);
const replicas = choiceOption("replicas", values.replicas, [0, 1]);
const nodes = choiceOption("nats-nodes", values["nats-nodes"], [1, 3]);
if (!hasNatsServer) {
  console.error("no nats-server on the PATH; install it (Debian: apt-get install nats-server)");
  process.exit(1);
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "downpour-soak-"));
const tlsDirectory = path.join(folder, "tls");
const command = path.join(
  import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname),
  "..",
  "packages/cli/bin/downpour.js",
);
for (const args of [
  ["certs", "init", "--dir", tlsDirectory, "--host", "127.0.0.1", "localhost"],
  ["certs", "token", "--dir", tlsDirectory],
]) {
  const { status, stderr } = spawnSync(process.execPath, [command, ...args], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}

/** @param {string} text */
const note = (text) => (values.json ? process.stderr : process.stdout).write(`${text}\n`);

// Told to end: nodes of NATS are killed as this process exits, and roles end when it is gone.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));

const nats = await makeNatsNodes(folder, nodes, natsTlsArgs(tlsDirectory));
let failed = true;
try {
  await Promise.all(nats.map((node) => node.start()));
  const result = await soak({
    ...{
      seconds: minutes * 60,
      faultEverySeconds,
      replicas,
      folder,
      nats,
      random: seededRandom(seed),
      onNote: note,
    },
    ...{ tlsDirectory, joinTokenFile: path.join(tlsDirectory, "join-token"), dataDirectory: undefined },
  });
  const accuracyLost = result.undisturbedTestAccuracy - result.testAccuracy;
  const wrong = [
    ...result.violations,
    ...result.hung.map((role) => `${role} did not end by itself`),
    ...(result.examplesLost > 0 ? [`${result.examplesLost} examples lost`] : []),
    ...(result.examplesDoubled > 0 ? [`${result.examplesDoubled} examples doubled`] : []),
    ...(result.pushesLost > 0 ? [`${result.pushesLost} pushes lost`] : []),
    ...(result.pushesDoubled > 0 ? [`${result.pushesDoubled} pushes doubled`] : []),
    ...(accuracyLost > 0.01
      ? [`test accuracy ${result.testAccuracy}, undisturbed ${result.undisturbedTestAccuracy}`]
      : []),
  ];
  for (const text of wrong) note(`WRONG: ${text}`);
  failed = wrong.length > 0;
  if (values.json) console.log(JSON.stringify({ ok: !failed, seed, ...result }));
  else console.log(result);
} finally {
  await Promise.all(nats.map((node) => node.stop("SIGKILL")));
  if (failed || values.keep) note(`logs: ${folder}`);
  else fs.rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
