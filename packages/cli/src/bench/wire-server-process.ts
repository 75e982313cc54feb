import { makeLogger } from "@downpour/logging";
import { runParameterServer } from "@downpour/parameter-server";
import { stopSignal } from "../stop-signal.ts";
import { materialOf, type PemTexts } from "./tls-texts.ts";
import { loopback } from "./wire-plan.ts";

/* Entry of a process that is a parameter server, as `downpour server` is, with mutual TLS where it is asked for. */

const { coordinatorAddress, tls } = JSON.parse(process.argv[2] ?? "{}") as {
  readonly coordinatorAddress: string;
  readonly tls?: PemTexts;
};

await runParameterServer({
  coordinatorAddress,
  host: loopback,
  port: 0,
  connectTimeoutMs: 30_000,
  logger: makeLogger("server", undefined),
  signal: stopSignal(),
  tls: tls && materialOf(tls),
});
