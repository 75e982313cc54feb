import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { ExchangeTimes } from "@downpour/worker";
import { answerParent } from "./measured-process.ts";
import { median } from "./statistics.ts";
import { loopback, warmupSteps } from "./wire-plan.ts";

/* Entry of a process that times a plain socket: as many bytes as a push has there, as many as a pull has back. */

/** What to time. */
export interface SocketMeasurement {
  readonly port: number;
  readonly bytes: number;
  readonly steps: number;
}

/** Written at a time, as much as a message of slices holds. */
const chunk = Buffer.alloc(4 * 1024 * 1024, 1);

await answerParent(async ({ port, bytes, steps }: SocketMeasurement): Promise<ExchangeTimes> => {
  const socket = connect(port, loopback);
  await once(socket, "connect");
  socket.setNoDelay(true);
  const push: number[] = [];
  const pull: number[] = [];
  let cpu = process.cpuUsage();
  for (let step = 0; step < warmupSteps + steps; step++) {
    if (step === warmupSteps) cpu = process.cpuUsage();
    const start = performance.now();
    for (let sent = 0; sent < bytes; sent += chunk.length) {
      socket.write(chunk.subarray(0, Math.min(chunk.length, bytes - sent)));
    }
    await received(socket, 1);
    const middle = performance.now();
    socket.write(Buffer.alloc(1));
    await received(socket, bytes);
    if (step < warmupSteps) continue;
    push.push(middle - start);
    pull.push(performance.now() - middle);
  }
  const { user, system } = process.cpuUsage(cpu);
  socket.destroy();
  return {
    pushMilliseconds: median(push),
    pullMilliseconds: median(pull),
    cpuMilliseconds: (user + system) / 1000 / steps,
    pushBytes: bytes,
    pullBytes: bytes,
  };
});

/** Resolves when so many bytes have come. */
function received(socket: Socket, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = bytes;
    const take = (data: Buffer) => {
      left -= data.length;
      if (left > 0) return;
      socket.off("data", take);
      socket.off("error", reject);
      resolve();
    };
    socket.on("data", take);
    socket.once("error", reject);
  });
}
