import { existsSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { hostname } from "node:os";
import { pageDirectory } from "@downpour/dashboard";
import { DownpourError, messageOf } from "@downpour/errors";
import { defaultPagePort } from "@downpour/job";
import type { Identity } from "@downpour/protocol";
import sirv from "sirv";
import { Api, apiPrefix, send } from "./api.ts";
import { type GuardOptions, isLoopbackName, type Refused, refusalOf } from "./guard.ts";
import { httpError } from "./http-errors.ts";
import type { RunSource } from "./run-source.ts";

export type { RunSource } from "./run-source.ts";

export interface ServePageOptions {
  readonly host: string;
  /** Left out: {@link defaultPagePort}, or any free one where that is taken. */
  readonly port?: number | undefined;
  /** How to choose another port, for the message when it is in use: `--set dashboard.port=4748`. */
  readonly portOption: string;
  /** At least one; the first is shown first. */
  readonly sources: readonly RunSource[];
  /** Certificate and join token of the cluster: needed where the host is no loopback address. */
  readonly identity: Identity;
}

export interface ServedPage {
  /** For people: where the page is. */
  readonly url: string;
  /** Ends all connections. */
  close(): Promise<void>;
}

const connectionsMax = 512;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;

/** Nothing but what this server sends itself, and no page around this one. */
const headers = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/**
 * Serves the page and its API.
 * @throws environment: the port is in use, or the address can't be listened on; usage: an address that others reach, in
 *   a cluster without join token
 */
export async function servePage(options: ServePageOptions): Promise<ServedPage> {
  const { host, identity, sources } = options;
  const loopback = isLoopbackName(host);
  const { token, tls } = identity;
  if (!loopback && token === undefined) {
    throw new DownpourError(
      "usage",
      `the live page can't listen on ${host}: others reach that address, and this cluster has no join token to tell ` +
        "them apart; start the coordinator with --tls-dir and --join-token-file, or leave dashboard.host at 127.0.0.1",
    );
  }
  const guard: GuardOptions = { loopback, tls: !loopback, token: loopback ? undefined : token };
  const api = new Api(sources);
  const files = staticFiles();
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    void answer(request, response, { guard, api, files }).catch((error: unknown) => {
      const { status, body } = httpError(error);
      if (response.headersSent) response.destroy();
      else void send(request, response, body, status).catch(() => response.destroy());
    });
  };
  const server: Server =
    loopback || tls === undefined
      ? createServer(handle)
      : createSecureServer({ cert: tls.certificate, key: tls.key, minVersion: "TLSv1.2" }, handle);
  server.maxConnections = connectionsMax;
  server.headersTimeout = headersTimeoutMs;
  server.requestTimeout = requestTimeoutMs;
  const port = await listen(server, options);
  const shown = ["0.0.0.0", "::"].includes(host) ? hostname() : host.includes(":") ? `[${host}]` : host;
  return {
    url: `${loopback ? "http" : "https"}://${shown}:${port}/`,
    async close() {
      api.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Parts {
  readonly guard: GuardOptions;
  readonly api: Api;
  readonly files: ReturnType<typeof staticFiles>;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { guard, api, files }: Parts,
): Promise<void> {
  const path = request.url ?? "/";
  const isApi = path.startsWith("/api/");
  const refused = refusalOf(
    {
      method: request.method ?? "",
      api: isApi,
      host: request.headers.host,
      origin: request.headers.origin,
      fetchSite: headerOf(request, "sec-fetch-site"),
      contentType: request.headers["content-type"],
      authorization: request.headers.authorization,
    },
    guard,
  );
  if (refused !== undefined) return refuse(request, response, refused);
  if (!isApi) return files(request, response);
  if (!path.startsWith(apiPrefix)) throw new DownpourError("notFound", `the API is below ${apiPrefix}`);
  await api.answer(request, response, new URL(path, "http://page"));
}

async function refuse(request: IncomingMessage, response: ServerResponse, { status, message }: Refused) {
  if (status === 401) response.setHeader("www-authenticate", "Bearer");
  // What else it sends is not read.
  response.setHeader("connection", "close");
  const code = status === 401 ? "unauthenticated" : status === 403 ? "permissionDenied" : "invalidArgument";
  await send(request, response, { error: { code, message } }, status);
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  return request.headers[name]?.toString();
}

/** The files of the page, or a note where they were not built. */
function staticFiles(): (request: IncomingMessage, response: ServerResponse) => void {
  const plain = (response: ServerResponse, status: number, text: string) => {
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(text);
  };
  if (!existsSync(pageDirectory)) {
    return (_request, response) => plain(response, 503, 'the page was not built; run "npm run setup"\n');
  }
  const serve = sirv(pageDirectory, {
    etag: true,
    setHeaders: (response, path) => {
      const hashed = path.startsWith("/assets/");
      response.setHeader("cache-control", hashed ? "public, max-age=31536000, immutable" : "no-cache");
    },
  });
  return (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") return plain(response, 405, "GET only\n");
    serve(request, response, () => plain(response, 404, "not found\n"));
  };
}

/** Listens, and returns the port. */
async function listen(server: Server, { host, port, portOption }: ServePageOptions): Promise<number> {
  try {
    return await listenOn(server, host, port ?? defaultPagePort);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE" && port === undefined) return listenOn(server, host, 0);
    const what =
      code === "EADDRINUSE"
        ? `port ${port} of ${host} is in use; choose another one (${portOption}), or leave it out for any that is free`
        : `${messageOf(error)}; choose another address or port (${portOption})`;
    throw new DownpourError("environment", `the live page can't be served: ${what}`, { cause: error });
  }
}

function listenOn(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
