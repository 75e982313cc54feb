import { DownpourError } from "@downpour/errors";
import { docker, runProgram, type Said } from "./docker.ts";

/** The Docker engine at hand, and which compose speaks to it. */
export interface Engine {
  readonly engineVersion: string;
  readonly composeVersion: string;
  /** `docker-compose` of its own, rather than `docker compose`. */
  readonly standalone: boolean;
}

/** The oldest that the compose files were tried with. */
const engineVersionMin = [20, 10] as const;
const composeVersionMin = [1, 29] as const;

/**
 * Looks for a Docker engine that runs and a compose for it.
 * @throws environment: what is missing, too old or not running, and the way out
 */
export async function findEngine(ask: typeof runProgram = runProgram): Promise<Engine> {
  const asked = [
    ask("docker", ["version", "--format", "{{.Server.Version}}"]),
    ask("docker", ["compose", "version", "--short"]),
    ask("docker-compose", ["version", "--short"]),
  ] as const;
  const engineVersion = readEngine(await asked[0]);
  const plugin = await asked[1];
  if (plugin.status === 0) {
    return {
      engineVersion,
      composeVersion: checkCompose(plugin.stdout, "docker compose"),
      standalone: false,
    };
  }
  const alone = await asked[2];
  if (alone.status === 0) {
    return { engineVersion, composeVersion: checkCompose(alone.stdout, "docker-compose"), standalone: true };
  }
  throw new DownpourError(
    "environment",
    "Docker runs, but neither docker compose nor docker-compose is here: install the Compose plugin " +
      "(https://docs.docker.com/compose/install; Debian: apt-get install docker-compose)",
  );
}

function readEngine({ status, stdout, stderr, missing }: Said): string {
  if (missing) {
    throw new DownpourError(
      "environment",
      "Docker is not here: no docker on the PATH. Install Docker Engine (https://docs.docker.com/engine/install; Debian: " +
        "apt-get install docker.io docker-compose), or train without containers: downpour train",
    );
  }
  const version = stdout.trim();
  if (status === 0 && version !== "") return checkEngine(version);
  const reason = stderr.trim().split("\n").at(-1) ?? "";
  if (/permission denied/i.test(stderr)) {
    throw new DownpourError(
      "environment",
      `this user may not use Docker (${reason}): add the user to the group docker and log in again, or use sudo`,
    );
  }
  throw new DownpourError(
    "environment",
    `the Docker engine does not answer (${reason}): start it (systemctl start docker, or Docker Desktop), or name another ` +
      "one with DOCKER_HOST",
  );
}

function checkEngine(version: string): string {
  if (isAtLeast(version, engineVersionMin)) return version;
  throw new DownpourError(
    "environment",
    `Docker ${version} is too old: expected ${engineVersionMin.join(".")} or newer (https://docs.docker.com/engine/install)`,
  );
}

function checkCompose(output: string, name: string): string {
  const version = output.trim().replace(/^v/, "");
  if (isAtLeast(version, composeVersionMin)) return version;
  throw new DownpourError(
    "environment",
    `${name} ${version} is too old: expected ${composeVersionMin.join(".")} or newer (https://docs.docker.com/compose/install)`,
  );
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [foundMajor = 0, foundMinor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}

/** Whether an image is on the engine. */
export async function hasImage(image: string): Promise<boolean> {
  return (await docker("image", "inspect", image)).status === 0;
}
