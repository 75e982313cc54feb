import { main } from "../dist/main.js";

process.exitCode = await main(process.argv.slice(2));
// Interrupted: whatever still runs, a download for example, is not waited for.
if (process.exitCode === 130) process.exit();
