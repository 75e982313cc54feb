import "./scripts/map-group-by.mjs";
import { defineConfig } from "vitest/config";

/** Unit tests sit beside the sources; what crosses processes is in test/. Packages are built first. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts", "packages/*/setup/**/*.test.mjs"],
          pool: "forks",
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "cluster",
          include: ["test/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 180_000,
        },
      },
    ],
  },
});
