// In a container between workers and one server: `node slow-link.mjs TARGET:PORT MILLISECONDS`. What connects to port 7071
// reaches the target after a delay, each way. The rate is limited from outside, by tc.
import { TcpProxy } from "/faults/tcp-proxy.js";

const [target = "", delay = "0"] = process.argv.slice(2);
const proxy = await TcpProxy.listen(target, () => 1, 7071, "0.0.0.0");
proxy.delayMs = Number(delay);
process.once("SIGTERM", () => process.exit(0));
