import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DownpourError, messageOf } from "@downpour/errors";
import type { IDockerComposeOptions } from "docker-compose";
import { dockerEnvironment } from "../config.ts";
import type { Engine } from "./engine.ts";

/** Folder of the compose files. */
export const deployFolder = fileURLToPath(new URL("../../../../deploy", import.meta.url));

/** What `downpour up` was told, which `scale` and `down` need again. */
export interface ProjectSettings {
  /** Files below {@link deployFolder}, or absolute ones, in order. */
  readonly files: readonly string[];
  /** Variables of the compose files. */
  readonly variables: Readonly<Record<string, string>>;
  /** Name of the run's folder in the volume `runs`. */
  readonly run: string;
}

/** A compose project: one cluster on one engine. */
export interface Project {
  readonly name: string;
  readonly settings: ProjectSettings;
}

/** A project is named so where nobody names it. */
export const defaultProjectName = "downpour";

const nameForm = /^[a-z0-9][a-z0-9_-]{0,40}$/;

/** @throws usage */
export function checkProjectName(name: string): string {
  if (nameForm.test(name)) return name;
  throw new DownpourError(
    "usage",
    `--project ${name}: expected lower-case letters, digits, '_' and '-', at most 41, the first a letter or a digit`,
  );
}

function folderOf(cacheDirectory: string, name: string): string {
  return join(cacheDirectory, "compose", name);
}

/**
 * Keeps the settings of a project, and the job file for its containers, whoever may read it.
 * @returns the job file
 */
export async function keepProject(
  cacheDirectory: string,
  name: string,
  jobText: string,
  settingsWith: (jobFile: string) => ProjectSettings,
): Promise<Project> {
  const folder = folderOf(cacheDirectory, name);
  const jobFile = join(folder, "job.yaml");
  const settings = settingsWith(jobFile);
  try {
    await mkdir(folder, { recursive: true });
    // Anew: a file that a container holds open must not change under it.
    await rm(jobFile, { force: true });
    await writeFile(jobFile, jobText, { mode: 0o644 });
    await writeFile(join(folder, "settings.json"), `${JSON.stringify(settings, null, 2)}\n`);
  } catch (error) {
    throw new DownpourError(
      "environment",
      `can't keep the settings of ${name} in ${folder}: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
  return { name, settings };
}

/** The settings of a project that was started from here; those of the plain compose file where it was not. */
export async function readProject(cacheDirectory: string, name: string): Promise<Project> {
  const file = join(folderOf(cacheDirectory, checkProjectName(name)), "settings.json");
  try {
    return { name, settings: JSON.parse(await readFile(file, "utf8")) as ProjectSettings };
  } catch {
    return { name, settings: { files: ["docker-compose.yml"], variables: {}, run: "" } };
  }
}

export async function forgetProject(cacheDirectory: string, name: string): Promise<void> {
  await rm(folderOf(cacheDirectory, name), { recursive: true, force: true });
}

/** How the library is to call compose for a project. */
export function composeOptions(
  { name, settings }: Project,
  { standalone }: Pick<Engine, "standalone">,
  commandOptions: readonly string[] = [],
): IDockerComposeOptions {
  return {
    cwd: deployFolder,
    config: [...settings.files],
    composeOptions: ["-p", name],
    commandOptions: [...commandOptions],
    env: dockerEnvironment(settings.variables),
    ...(standalone ? { executable: { executablePath: "docker-compose", standalone: true as const } } : {}),
  };
}
