import { readFileSync } from "node:fs";

interface PackageFile {
  readonly version: string;
}

const packageFile = new URL("../package.json", import.meta.url);

/** Version of the downpour package. */
export const version = (JSON.parse(readFileSync(packageFile, "utf8")) as PackageFile).version;
