import { type AddressInfo, createServer } from "node:net";
import { loopback } from "./wire-plan.ts";

/* Entry of a process that takes and sends bytes over a plain socket. */

const { bytes } = JSON.parse(process.argv[2] ?? "{}") as { readonly bytes: number };

/** Written at a time, as much as a message of slices holds. */
const chunk = Buffer.alloc(4 * 1024 * 1024, 1);

// The client sends `bytes` and gets one byte back (a push); then sends one byte and gets `bytes` (a pull).
const server = createServer((socket) => {
  socket.setNoDelay(true);
  let received = 0;
  socket.on("data", (data) => {
    received += data.length;
    if (received === bytes) socket.write(Buffer.alloc(1));
    if (received > bytes) {
      received = 0;
      for (let sent = 0; sent < bytes; sent += chunk.length) {
        socket.write(chunk.subarray(0, Math.min(chunk.length, bytes - sent)));
      }
    }
  });
  socket.on("error", () => undefined);
});
process.once("disconnect", () => process.exit());
server.listen(0, loopback, () => process.send?.(String((server.address() as AddressInfo).port)));
