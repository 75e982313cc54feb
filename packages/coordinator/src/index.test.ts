import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import * as api from "./index.ts";

// A change here is a change of the public API: say so in the changelog.
test("the package exports these names and no others", () => {
  expect(Object.keys(api).sort()).toEqual([
    "InProcessEventBus",
    "LeaderLock",
    "LmdbJobStore",
    "awaitLeadership",
    "keepLeadership",
    "runCoordinator",
    "storeValueBytesMax",
  ]);
});

test("who imports the package does not load the client of NATS", () => {
  const index = fileURLToPath(new URL("../dist/index.js", import.meta.url));
  const program = `
    import { createRequire } from "node:module";
    const loaded = () => Object.keys(createRequire("/")("node:module")._cache).filter((file) => file.includes("/nats/"));
    await import(process.argv[1]);
    console.log(loaded().length);
    await import(process.argv[1].replace("index.js", "nats-job-store.js"));
    console.log(loaded().length > 0);
  `;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", program, index]);
  expect(output.toString()).toBe("0\ntrue\n");
});
