import path from "node:path";
import { runHere } from "./child.mjs";
import { setUp } from "./setup.mjs";
import { runMain } from "./terminal.mjs";

/** `npm start`: sets up what is missing, then trains the first example on this machine. */
await runMain(async () => {
  await setUp({ quiet: true });
  const command = path.join("packages", "cli", "bin", "downpour.js");
  const example = path.join("examples", "digits-lenet5.yaml");
  process.exitCode = await runHere([command, "train", example, ...process.argv.slice(2)]);
});
