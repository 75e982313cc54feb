import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/**
 * Whether one of the processes has the client's end of a loopback connection, by what the kernel says now (Linux).
 * @param clientPort port that the connection comes from
 */
export function isClientOf(pids: readonly number[], clientPort: number): boolean {
  const inode = inodeOf(clientPort);
  return inode !== undefined && pids.some((pid) => holdsSocket(pid, inode));
}

/** Of the IPv4 socket that is connected from a port of the loopback. */
function inodeOf(port: number): string | undefined {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (local === `0100007F:${hex}` && state === established) return inode;
  }
  return undefined;
}

const established = "01";

function holdsSocket(pid: number, inode: string): boolean {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((name) => linkOf(`${folder}/${name}`) === `socket:[${inode}]`);
  } catch {
    return false; // the process has ended
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // it was closed while we looked
  }
}
