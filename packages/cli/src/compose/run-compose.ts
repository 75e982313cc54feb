import { DownpourError } from "@downpour/errors";
import { buildMany, downAll, type IDockerComposeResult, logs, upAll, upMany } from "docker-compose";
import { composeTrouble } from "./diagnosis.ts";
import type { Engine } from "./engine.ts";
import { composeOptions, type Project } from "./project.ts";

/** Takes a line of what compose says while it works. */
export type OnLine = (line: string) => void;

/** Compose for one project: each call ends when compose does. */
export class ComposeRunner {
  readonly #project: Project;
  readonly #engine: Engine;

  constructor(project: Project, engine: Engine) {
    this.#project = project;
    this.#engine = engine;
  }

  /** Builds the image of all roles, and with `gpu` that of workers and evaluator. */
  async build(gpu: boolean, onLine: OnLine): Promise<void> {
    const services = gpu ? ["init", "worker"] : ["init"];
    await this.#run((options) => buildMany(services, options), [], onLine);
  }

  /** Starts all services, with so many workers; the containers that run stay as they are. */
  async up(workers: number, onLine: OnLine): Promise<void> {
    await this.#run(upAll, ["--scale", `worker=${workers}`], onLine);
  }

  /** Starts or drains workers until there are so many; nothing else changes. */
  async scale(workers: number, onLine: OnLine): Promise<void> {
    const flags = ["--no-deps", "--no-recreate", "--scale", `worker=${workers}`];
    await this.#run((options) => upMany(["worker"], options), flags, onLine);
  }

  /** Removes containers and networks, and volumes when asked to. */
  async down(volumes: boolean, onLine: OnLine): Promise<void> {
    const flags = ["--remove-orphans", ...(volumes ? ["--volumes"] : [])];
    await this.#run(downAll, flags, onLine);
  }

  /** Lines of the services' logs, of all where none is named. */
  async logs(services: readonly string[], follow: boolean, tail: string, onLine: OnLine): Promise<void> {
    const flags = ["--tail", tail, ...(follow ? ["--follow"] : [])];
    await this.#run((options) => logs([...services], options), flags, onLine, 0);
  }

  /** @throws environment: what compose complained of, and the next step */
  async #run(
    command: (options: ReturnType<typeof composeOptions>) => Promise<IDockerComposeResult>,
    commandOptions: readonly string[],
    onLine: OnLine,
    maxOutputLength = 1_000_000,
  ): Promise<void> {
    let unread = "";
    const callback = (chunk: Buffer) => {
      const lines = (unread + chunk.toString()).split(/\r?\n|\r/);
      unread = lines.pop() ?? "";
      for (const line of lines) if (line.trim() !== "") onLine(line);
    };
    const options = composeOptions(this.#project, this.#engine, commandOptions);
    try {
      await command({ ...options, callback, maxOutputLength });
    } catch (failure) {
      if (failure instanceof Error) throw failure;
      const { out, err } = failure as IDockerComposeResult;
      throw new DownpourError("environment", composeTrouble(`${out}\n${err}`));
    }
    if (unread.trim() !== "") onLine(unread);
  }
}
