import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

/**
 * Copies a checkout's files as they are now into a folder: those that git knows and new ones that it does not ignore,
 * so nothing that was built or installed.
 *
 * @param {string} root
 * @param {string} folder
 * @param {{ built: boolean }} options built: with dependencies and what was built, to spare the set-up
 */
export function copyOfTree(root, folder, { built }) {
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  for (const file of listed.split("\0")) {
    const from = path.join(root, file);
    if (file === "" || !fs.existsSync(from)) continue;
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.cpSync(from, path.join(folder, file), { verbatimSymlinks: true });
  }
  if (!built) return;
  for (const place of [
    "",
    ...fs.readdirSync(path.join(root, "packages")).map((name) => `packages/${name}`),
  ]) {
    for (const name of ["node_modules", "dist", "proto", "src/generated"]) {
      const from = path.join(root, place, name);
      const to = path.join(folder, place, name);
      if (fs.existsSync(from)) fs.cpSync(from, to, { recursive: true, verbatimSymlinks: true });
    }
  }
}
