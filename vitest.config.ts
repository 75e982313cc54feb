import "./scripts/map-group-by.mjs";
import { defineConfig } from "vitest/config";

/** Tests compare plain text, whatever the environment says about colours. */
const env = { NO_COLOR: "1" };

/** Unit tests sit beside the sources; what crosses processes is in test/. Packages are built first. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          sequence: { groupOrder: 0 },
          include: [
            "packages/*/src/**/*.test.ts",
            "packages/*/setup/**/*.test.mjs",
            "test/docs/**/*.test.mjs",
            "scripts/**/*.test.mjs",
          ],
          pool: "forks",
          env,
          setupFiles: ["test/property-seed.mjs"],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "cluster",
          // After the unit tests: a cluster wants the cores for itself.
          sequence: { groupOrder: 1 },
          include: ["test/**/*.test.ts"],
          exclude: ["test/compose/**"],
          pool: "forks",
          env,
          fileParallelism: false,
          testTimeout: 180_000,
        },
      },
      {
        test: {
          name: "compose",
          // Containers on a Docker engine; where none runs, these tests say that they skip.
          sequence: { groupOrder: 2 },
          include: ["test/compose/**/*.test.ts"],
          pool: "forks",
          env,
          fileParallelism: false,
          testTimeout: 1_800_000,
          hookTimeout: 3_600_000,
        },
      },
    ],
  },
});
