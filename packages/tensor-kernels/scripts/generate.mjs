/* Compiles assembly/ to WebAssembly and writes it as a module, so that it loads wherever dist does. */
import fs from "node:fs";
import asc from "assemblyscript/asc";

const folder = new URL("../src/generated/", import.meta.url);
/** @type {Map<string, Uint8Array>} */
const outputs = new Map();

const { error, stderr } = await asc.main(
  [
    "assembly/index.ts",
    ...["--outFile", "kernels.wasm"],
    ...["-O3", "--noAssert", "--runtime", "stub"],
    ...["--enable", "simd", "--enable", "threads"],
    ...["--importMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", "65536"],
  ],
  {
    writeFile: (name, contents) => {
      outputs.set(name, typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
    },
  },
);
const binary = outputs.get("kernels.wasm");
if (error !== null || binary === undefined) {
  process.stderr.write(
    `the kernels in packages/tensor-kernels/assembly do not compile:\n${stderr.toString()}\n`,
  );
  process.exit(1);
}
fs.mkdirSync(folder, { recursive: true });
const text = Buffer.from(binary).toString("base64");
fs.writeFileSync(new URL("kernels-wasm.ts", folder), `export const kernelsWasmBase64 =\n  "${text}";\n`);
