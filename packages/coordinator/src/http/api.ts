import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { DownpourError } from "@downpour/errors";
import type { JobCommands } from "../job-commands.ts";
import { EventStreams } from "./event-stream.ts";
import type { RunSource } from "./run-source.ts";

const compress = promisify(gzip);

/** Answers of more bytes are compressed for those who take that. */
const compressFromBytes = 2048;

/** A command is a few words. */
const bodyBytesMax = 4096;

/** Where the API begins; {@link Api.answer} takes paths below it. */
export const apiPrefix = "/api/v1/";

type Command = (commands: JobCommands, body: Readonly<Record<string, unknown>>) => unknown;

/** What `POST /api/v1/NAME` does. */
const commandsByName: Readonly<Record<string, Command>> = {
  pause: (commands, body) => commands.pause(textOf(body, "reason")),
  resume: (commands, body) => commands.resume(textOf(body, "reason")),
  stop: (commands, body) => commands.stop(textOf(body, "reason")),
  drop: (commands, body) => {
    const { factor } = body;
    if (factor !== undefined && typeof factor !== "number") {
      throw new DownpourError("invalidArgument", `"factor" is ${JSON.stringify(factor)}; expected a number`);
    }
    return commands.dropLearningRate(factor);
  },
  drain: (commands, body) => {
    const memberId = textOf(body, "memberId");
    if (memberId === "") {
      throw new DownpourError("invalidArgument", 'the body lacks "memberId"; expected the id of a worker');
    }
    commands.drain(memberId);
  },
  checkpoint: async ({ checkpoint }) => {
    if (checkpoint === undefined) {
      throw new DownpourError("failedPrecondition", "this coordinator writes no checkpoints");
    }
    await checkpoint();
  },
};

/** The page's API over the runs that there are; the first one is meant where no `?run=` names another. */
export class Api {
  readonly #sources: readonly RunSource[];
  readonly #streams = new EventStreams();

  constructor(sources: readonly RunSource[]) {
    this.#sources = sources;
  }

  /** @throws DownpourError for what can't be answered */
  async answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const name = url.pathname.slice(apiPrefix.length);
    const command = commandsByName[name];
    if (command !== undefined && Object.hasOwn(commandsByName, name)) {
      if (request.method !== "POST") return methodRefused(response, name, "POST");
      const { commands } = this.#source(url);
      if (commands === undefined) {
        throw new DownpourError("failedPrecondition", "this run can only be looked at: it was recorded");
      }
      const result = await command(commands, await bodyOf(request));
      return send(request, response, { ...(result as object | undefined) });
    }
    if (!["runs", "state", "history", "events"].includes(name)) {
      throw new DownpourError(
        "notFound",
        `there is no ${url.pathname}; docs/dashboard.md lists what there is`,
      );
    }
    if (request.method !== "GET") return methodRefused(response, name, "GET");
    if (name === "runs") return send(request, response, { runs: this.#sources.map(({ info }) => info) });
    const source = this.#source(url);
    if (name === "events") return this.#streams.send(source, request, response);
    if (name === "state") return send(request, response, source.state());
    return send(request, response, { streamId: source.streamId, ...source.history() });
  }

  /** Ends the streams of events. */
  close(): void {
    this.#streams.close();
  }

  #source(url: URL): RunSource {
    const id = url.searchParams.get("run");
    const source = id === null ? this.#sources[0] : this.#sources.find(({ info }) => info.id === id);
    if (source !== undefined) return source;
    const ids = this.#sources.map(({ info }) => info.id).join(", ");
    throw new DownpourError("notFound", `there is no run "${id}" here; expected one of ${ids}`);
  }
}

function methodRefused(response: ServerResponse, name: string, allowed: string): void {
  const message = `${name} takes ${allowed} only`;
  response.writeHead(405, { allow: allowed, "content-type": "application/json" });
  response.end(JSON.stringify({ error: { code: "invalidArgument", message } }));
}

/** Answers with JSON. */
export async function send(
  request: IncomingMessage,
  response: ServerResponse,
  body: object,
  status = 200,
): Promise<void> {
  const bytes = Buffer.from(JSON.stringify(body));
  const small =
    bytes.length < compressFromBytes ||
    !/\bgzip\b/.test(request.headers["accept-encoding"]?.toString() ?? "");
  const sent = small ? bytes : await compress(bytes, { level: 1 });
  response.writeHead(status, {
    "content-type": "application/json",
    "cache-control": "no-store",
    ...(small ? {} : { "content-encoding": "gzip" }),
    "content-length": sent.length,
  });
  response.end(sent);
}

/** The JSON object in the request's body; an empty body is an empty object. */
async function bodyOf(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bodyBytesMax) {
      throw new DownpourError(
        "invalidArgument",
        `the body has more than ${bodyBytesMax} bytes; a command has few`,
      );
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8").trim();
  if (text === "") return {};
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new DownpourError("invalidArgument", "the body is no JSON; expected an object", { cause: error });
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new DownpourError("invalidArgument", `the body is ${text.slice(0, 40)}; expected a JSON object`);
  }
  return body as Record<string, unknown>;
}

/** A text of the body, "" where it is left out. */
function textOf(body: Readonly<Record<string, unknown>>, key: string): string {
  const value = body[key] ?? "";
  if (typeof value === "string" && value.length <= 200) return value;
  throw new DownpourError("invalidArgument", `"${key}" is no text of at most 200 characters`);
}
