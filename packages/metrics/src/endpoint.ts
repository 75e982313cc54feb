import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { DownpourError, messageOf } from "@downpour/errors";
import type { MetricRole } from "./catalogue.ts";
import type { Readiness } from "./readiness.ts";
import type { RoleMetrics } from "./role-metrics.ts";

/** Where a role shows its metrics and health. */
export interface MetricsAddress {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
}

export interface MetricsEndpointOptions extends MetricsAddress {
  readonly metrics: Pick<RoleMetrics<MetricRole>, "contentType" | "render">;
  readonly readiness: Pick<Readiness, "reason">;
}

export interface MetricsEndpoint {
  /** host:port. */
  readonly address: string;
  close(): Promise<void>;
}

/** A scraper, a health check and a person: more connections than this are refused. */
const connectionsMax = 16;

/** A request that is not whole by then is cut off. */
const requestTimeoutMs = 5000;

/**
 * Serves `/metrics`, `/healthz` and `/readyz` over plain HTTP. It keeps no process alive.
 *
 * @throws environment when the port is in use or the address is not this machine's
 */
export async function serveMetrics(options: MetricsEndpointOptions): Promise<MetricsEndpoint> {
  const server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      send(response, 500, `${messageOf(error)}\n`);
    });
  });
  server.maxConnections = connectionsMax;
  server.unref();
  const port = await listen(server, options);
  return {
    address: `${options.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  { metrics, readiness }: MetricsEndpointOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return send(response, 405, "only GET and HEAD are answered\n");
  }
  switch (request.url?.split("?")[0]) {
    case "/metrics":
      return send(response, 200, await metrics.render(), metrics.contentType);
    case "/healthz":
      return send(response, 200, "alive\n");
    case "/readyz": {
      const { reason } = readiness;
      return reason === undefined ? send(response, 200, "ready\n") : send(response, 503, `${reason}\n`);
    }
    default:
      return send(response, 404, "only /metrics, /healthz and /readyz are here\n");
  }
}

function send(response: ServerResponse, status: number, body: string, contentType = "text/plain"): void {
  response.writeHead(status, { "content-type": contentType });
  response.end(body);
}

function listen(server: Server, { host, port }: MetricsAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      const message =
        `metrics can't be served on ${host}:${port}: ${messageOf(cause)}. End the process that has the port, or name ` +
        "another one with --metrics-port (0 for any free one)";
      reject(new DownpourError("environment", message, { facts: { host, port }, cause }));
    });
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}
