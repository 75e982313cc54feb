import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readJob } from "@downpour/job";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  buildImage,
  images,
  provideBuildInputs,
  provideImage,
  reachesRegistry,
  reasonToSkip,
} from "./engine.ts";
import { mistakeTests } from "./mistakes.ts";
import { natsTests } from "./nats.ts";
import { cleanUp, folder, writeJob } from "./project.ts";
import { trainingTests } from "./training.ts";

const skipped = reasonToSkip();
const buildsImage = process.env.DOWNPOUR_TEST_BUILD !== "0";
/** Why the tests can't be run after all. */
let lacking: string | undefined;

/** What has not begun by then is left out; undefined: all of it is run. */
const minutes = process.env.DOWNPOUR_TEST_COMPOSE_MINUTES;
const beganMs = performance.now();

/** Whole milliseconds that are left, at least one; undefined: as many as it takes. */
function leftMs(): number | undefined {
  return minutes === undefined
    ? undefined
    : Math.max(1, Math.round(beganMs + 60_000 * Number(minutes) - performance.now()));
}

describe.skipIf(skipped !== undefined)(
  `a cluster in containers${skipped === undefined ? "" : ` (${skipped})`}`,
  () => {
    beforeAll(() => {
      writeJob();
      const missing = (["node", "nats", "prometheus"] as const).find((what) => !provideImage(what, folder));
      if (missing !== undefined) lacking = `${images[missing]} can neither be pulled nor made here`;
      else if (buildsImage && !reachesRegistry()) lacking = "containers do not reach the npm registry here";
      if (lacking !== undefined || !buildsImage) return;
      provideBuildInputs();
      // Ahead of `up`, which would not give up.
      if (!buildImage(leftMs())) lacking = `the image was not built within ${minutes} minutes`;
    });

    beforeEach(({ skip }) => {
      if (lacking !== undefined) skip(lacking);
      if (leftMs() === 1) skip(`${minutes} minutes for the tests in containers are over`);
    });

    afterAll(cleanUp);

    describe("that trains", () => trainingTests(buildsImage));
    describe("with its state in NATS", natsTests);
    describe("that can't start", mistakeTests);
  },
);

it("names the images that docker-compose.yml and its overlay use", async () => {
  const deploy = fileURLToPath(new URL("../../deploy/", import.meta.url));
  const text = ["docker-compose.yml", "compose.monitoring.yml", "Dockerfile"]
    .map((name) => readFileSync(join(deploy, name), "utf8"))
    .join("\n");
  for (const image of Object.values(images)) expect(text).toContain(image);
  // The job that compose runs where nobody names one has as many servers as compose.
  const example = await readJob(fileURLToPath(new URL("../../examples/digits-lenet5.yaml", import.meta.url)));
  expect(example.cluster.servers).toBe(2);
});
