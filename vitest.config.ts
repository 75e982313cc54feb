import { defineConfig } from "vitest/config";

// The reporter groups failures by Map.groupBy, which Node 20 lacks.
Map.groupBy ??= <K, T>(items: Iterable<T>, keyOf: (item: T, index: number) => K): Map<K, T[]> => {
  const groups = new Map<K, T[]>();
  let index = 0;
  for (const item of items) {
    const key = keyOf(item, index++);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
};

/** Unit tests sit beside the sources; what crosses processes is in test/. Packages are built first. */
export default defineConfig({
  test: {
    projects: [
      {
        test: { name: "unit", include: ["packages/*/src/**/*.test.ts", "packages/*/setup/**/*.test.mjs"], pool: "forks", testTimeout: 30_000 },
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
