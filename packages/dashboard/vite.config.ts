import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const sourceOf = (name: string) => fileURLToPath(new URL(`../${name}/src/index.ts`, import.meta.url));

/** The page as static files in `dist/page`; nothing in it asks another server for anything. */
export default defineConfig({
  root: fileURLToPath(new URL("./page", import.meta.url)),
  base: "./",
  publicDir: "public",
  // The page may be built before the packages are.
  resolve: { alias: { "@downpour/run-history": sourceOf("run-history") } },
  oxc: { jsx: { importSource: "preact", runtime: "automatic" } },
  build: {
    outDir: "../dist/page",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
