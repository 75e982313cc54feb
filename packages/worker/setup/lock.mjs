import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const heartbeatMs = 5_000;
const staleAfterMs = 60_000;
const pollMs = 300;
const waitMsMax = 45 * 60_000;

/**
 * Runs `work` while no other process runs under the same lock. It saves double work only: what runs inside must be
 * safe without it, since a lock whose holder is gone, or that is waited for longer than 45 minutes, is not waited for.
 *
 * @template T
 * @param {string} lockFolder
 * @param {(line: string) => void} log
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(lockFolder, log, work) {
  const held = await acquire(lockFolder, log);
  const heartbeat = setInterval(() => touch(lockFolder), heartbeatMs);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if (held) fs.rmSync(lockFolder, { recursive: true, force: true });
  }
}

/**
 * @param {string} lockFolder
 * @param {(line: string) => void} log
 */
async function acquire(lockFolder, log) {
  fs.mkdirSync(path.dirname(lockFolder), { recursive: true });
  const giveUpMs = Date.now() + waitMsMax;
  for (let told = false; Date.now() < giveUpMs; ) {
    try {
      fs.mkdirSync(lockFolder);
      fs.writeFileSync(path.join(lockFolder, "owner"), `${os.hostname()} ${process.pid}`);
      return true;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    }
    if (isAbandoned(lockFolder)) {
      fs.rmSync(lockFolder, { recursive: true, force: true });
      continue;
    }
    if (!told) log("another set-up is at work; waiting for it");
    told = true;
    await sleep(pollMs);
  }
  return false;
}

/** @param {string} lockFolder */
function isAbandoned(lockFolder) {
  try {
    const ageMs = Date.now() - fs.statSync(lockFolder).mtimeMs;
    if (ageMs > staleAfterMs) return true;
    const [host, pid] = fs.readFileSync(path.join(lockFolder, "owner"), "utf8").split(" ");
    return host === os.hostname() && !isAlive(Number(pid));
  } catch {
    // It was let go in between, or its owner is not written yet: ask again.
    return false;
  }
}

/** @param {string} lockFolder */
function touch(lockFolder) {
  const now = new Date();
  try {
    fs.utimesSync(lockFolder, now, now);
  } catch {
    // Someone took it for abandoned. The work inside is safe without it.
  }
}

/**
 * @param {number} pid
 * @returns {boolean}
 */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}
