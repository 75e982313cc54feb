import { main } from "../dist/main.js";

process.exitCode = await main(process.argv.slice(2));
// Interrupted: whatever still runs, a download for example, is not waited for.
if (process.exitCode === 130) process.exit();
// Nor is, for longer than this, what a command that is done left behind: a call to a machine that is gone.
const lingerMs = 3000;
setTimeout(() => process.exit(), lingerMs).unref();
