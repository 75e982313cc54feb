import type { Container } from "./containers.ts";

/** What a container that failed left behind. */
export interface Remains {
  readonly container: Pick<Container, "name" | "service" | "exitCode" | "outOfMemory" | "memoryLimitBytes">;
  /** The last lines of its log. */
  readonly lines: readonly string[];
}

/** Status of a process that was killed, as shells have it: 128 + SIGKILL. */
const killedStatus = 137;

/** What people should know about a container that failed: which one, why, and what to do. */
export function containerTrouble({ container, lines }: Remains): string {
  const { name, service, exitCode, outOfMemory, memoryLimitBytes } = container;
  const text = lines.join("\n");
  if (outOfMemory) {
    const limit =
      memoryLimitBytes > 0
        ? `its limit of ${Math.round(memoryLimitBytes / 2 ** 20)} MiB`
        : "this machine's memory";
    return (
      `${name} was killed: it needed more than ${limit}. Raise ${memoryVariable(service)}, or lower data.batchSize ` +
      "(downpour doctor JOB says what a job takes)"
    );
  }
  if (exitCode === killedStatus) {
    return `${name} was killed (status ${exitCode}): by somebody, or by a machine that ran out of memory (dmesg says so)`;
  }
  const reason = reasonIn(lines);
  for (const { pattern, advice } of known) if (pattern.test(text)) return `${name}: ${reason}. ${advice}`;
  return `${name} ended with status ${exitCode}: ${reason}`;
}

/** What people should know when compose itself failed. `output`: what it wrote. */
export function composeTrouble(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const port = /(?:Bind for |listen tcp4? )[\d.]*:(\d+)/.exec(output)?.[1];
  if (/port is already allocated|address already in use/i.test(output)) {
    const service = /for (\S+) +Cannot start service|Error response from daemon.*endpoint (\S+)/.exec(output);
    const who = service?.[1] ?? service?.[2];
    const variable = portVariable(port);
    return (
      `port ${port ?? "of this host"} is in use${who === undefined ? "" : ` (wanted by ${who})`}: end what uses it, or ` +
      `choose another one with ${variable}`
    );
  }
  if (/pull access denied|manifest unknown|no such host|Client\.Timeout|TLS handshake|x509/i.test(output)) {
    return (
      `an image can't be fetched: ${lines.at(-1)}. Check the network and the registry; behind a proxy with certificates ` +
      "of its own, put them into deploy/extra-ca"
    );
  }
  if (/no space left on device/i.test(output)) {
    return "the disk of the Docker engine is full: docker system df shows what takes it, docker system prune frees some";
  }
  return lines.slice(-3).join("\n") || "compose failed without a word";
}

const known = [
  {
    pattern: /job file is not visible/,
    advice: "Docker runs on another machine or sees other folders than this one: put the job file there",
  },
  {
    pattern: /brought (another|none)|UNAUTHENTICATED|unauthenticated/,
    advice:
      "Its token is another one than the coordinator's. Start all of them anew with downpour down --volumes and downpour up, " +
      "or give it the join-token of this cluster",
  },
  {
    pattern: /certificates of one authority|certificate/,
    advice:
      "Its certificates are of another cluster or have expired: downpour down --volumes, then downpour up makes new ones",
  },
  {
    pattern: /can't be written by user|EACCES|EROFS|permission denied/i,
    advice:
      "A volume is without permission for user 1000: give it to that user, or remove it (downpour down --volumes)",
  },
  {
    pattern: /--data-dir|DOWNPOUR_DATA_DIR|which is not in/,
    advice: "Name the folder of this host that holds the data files with downpour up --data-dir",
  },
] as const;

/** The latest error that a log speaks of, of those written for people or for programs. */
function reasonIn(lines: readonly string[]): string {
  for (const line of [...lines].reverse()) {
    const plain = /^error: (.*)$/.exec(line)?.[1];
    if (plain !== undefined) return plain.replace(/\.$/, "");
    if (!line.startsWith("{")) continue;
    try {
      const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
      if (Number(level) >= 50 && typeof msg === "string") return msg.replace(/\.$/, "");
    } catch {
      // A line that was cut.
    }
  }
  return (lines.at(-1) ?? "it left no log").replace(/\.$/, "");
}

function memoryVariable(service: string): string {
  return `DOWNPOUR_${service.replace(/-\d+$/, "").toUpperCase()}_MEMORY`;
}

function portVariable(port: string | undefined): string {
  if (port === "9090") return "DOWNPOUR_PROMETHEUS_PORT";
  if (port === "3000") return "DOWNPOUR_GRAFANA_PORT";
  if (port === "4747") return "--page-port (DOWNPOUR_PAGE_PORT)";
  return "--port (DOWNPOUR_PORT)";
}
