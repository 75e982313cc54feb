import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readdirSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Container, containersOf } from "./inspect.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const authorities = "/usr/local/share/ca-certificates";

/** Images of docker-compose.yml and its overlay, and what stands in for each where it can't be pulled. */
export const images = {
  node: "node:20.20.2-bookworm-slim",
  nats: "nats:2.10.29-alpine",
  prometheus: "prom/prometheus:v2.55.1",
} as const;

/** Why no test of this folder can run here; undefined where they can. */
export function reasonToSkip(): string | undefined {
  const { error, status } = spawnSync("docker", ["version", "--format", "{{.Server.Version}}"]);
  if (error !== undefined) return "skipped: no docker on the PATH";
  if (status !== 0) return "skipped: no Docker engine runs";
  const plugin = spawnSync("docker", ["compose", "version"]).status === 0;
  if (!plugin && spawnSync("docker-compose", ["version"]).status !== 0) return "skipped: no compose";
  return undefined;
}

export function docker(...args: string[]): string {
  return execFileSync("docker", args, { encoding: "utf8", maxBuffer: 64 * 2 ** 20 });
}

/**
 * Builds the image of all roles.
 * @returns false when it was given up after so many milliseconds
 */
export function buildImage(timeoutMs: number | undefined): boolean {
  const args = ["build", "--quiet", "--file", "deploy/Dockerfile", "--tag", "downpour:latest", "."];
  const { status, signal } = spawnSync("docker", args, {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
    timeout: timeoutMs,
  });
  if (signal !== null) return false;
  if (status !== 0) throw new Error(`docker build ended with status ${status}`);
  return true;
}

/** Pulls an image, or makes a stand-in from Debian packages under its name. @returns whether it is there */
export function provideImage(what: keyof typeof images, folder: string): boolean {
  const image = images[what];
  if (spawnSync("docker", ["image", "inspect", image]).status === 0) return true;
  if (spawnSync("docker", ["pull", "--quiet", image], { timeout: 300_000 }).status === 0) return true;
  const make = [join(root, "test/compose/make-base.sh"), folder, what, image];
  return spawnSync("sh", make, { stdio: "inherit" }).status === 0;
}

/** Whether a container comes through to where the build gets its packages, whoever signs the answer. */
export function reachesRegistry(): boolean {
  const program =
    'require("tls").connect({ port: 443, host: "registry.npmjs.org", rejectUnauthorized: false, timeout: 20000 })' +
    '.on("secureConnect", () => process.exit(0)).on("error", () => process.exit(1)).on("timeout", () => process.exit(1))';
  const args = ["run", "--rm", "--entrypoint", "node", images.node, "-e", program];
  return spawnSync("docker", args, { timeout: 60_000 }).status === 0;
}

/**
 * What a closed network asks of the build: its certificates, and TensorFlow's wheel from this machine's own index.
 * Both folders are no part of the repository.
 */
export function provideBuildInputs(): void {
  if (existsSync(authorities)) {
    for (const name of readdirSync(authorities).filter((each) => each.endsWith(".crt"))) {
      copyFileSync(join(authorities, name), join(root, "deploy/extra-ca", name));
    }
  }
  const wheels = join(root, "deploy/wheels");
  if (readdirSync(wheels).some((name) => name.endsWith(".whl"))) return;
  // Where this machine can't get it either, the build says so.
  const wanted = ["tensorflow-cpu==2.21.0", "--no-deps", "--only-binary=:all:", "--python-version=3.11"];
  spawnSync("python3", ["-m", "pip", "download", ...wanted, "--dest", wheels], { timeout: 1_800_000 });
}

export function containersNow(project: string, service: string): Container[] {
  return containersOf(project).filter((each) => each.service === service);
}

/** What a role shows to Prometheus; empty while it shows nothing. */
export async function metricsOf({ addresses }: Container): Promise<string> {
  const [address = ""] = addresses.filter((each) => each !== "");
  const url = `http://${address}:9464/metrics`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
  return answer?.ok ? await answer.text() : "";
}

/** An answer of the live page's API. */
export function askPage(
  port: string,
  path: string,
  { token, ca }: { token?: string; ca: string },
): Promise<{ status: number | undefined; text: string }> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, headers, ca }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      answer.once("end", () => resolve({ status: answer.statusCode, text }));
    });
    asked.once("error", reject);
    asked.end();
  });
}

/** The sum of the samples whose lines begin so. */
export function sample(text: string, start: string): number {
  const lines = text.split("\n").filter((line) => line.startsWith(start));
  return lines.reduce((sum, line) => sum + Number(line.trim().split(" ").at(-1)), 0);
}
