import { parentPort } from "node:worker_threads";
import { DownpourError } from "@downpour/errors";
import { InputService } from "./input-service.ts";
import { servePort } from "./port-calls.ts";

if (parentPort === null) throw new DownpourError("internal", "input-thread.ts must run as a worker thread");
servePort(parentPort, new InputService());
