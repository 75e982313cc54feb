import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";

const randomByteCount = 32;
/** What a token may look like: base64url of 24 random bytes or more. It goes into a header as it is. */
const form = /^[A-Za-z0-9_-]{32,512}$/;
/** Metadata key under which a call brings the token. */
export const tokenKey = "authorization";
const scheme = "Bearer ";

/**
 * A secret that all processes of a cluster share. Whoever calls must send it, besides a certificate.
 *
 * It is kept in a private field, so that neither JSON nor the console nor a log of the object shows it.
 */
export class JoinToken {
  readonly #text: string;
  readonly #hash: Buffer;

  /**
   * @param text the secret; white space around it is left out
   * @param source where it comes from, for errors; the text itself is never in one
   * @throws environment when it is too short to be a secret, or has characters other than letters, digits, - and _
   */
  constructor(text: string, source: string) {
    const trimmed = text.trim();
    if (!form.test(trimmed)) {
      const message = `${source} holds no join token: it has ${trimmed.length} characters, expected 32 to 512 of letters, digits, - and _; make one with downpour certs token`;
      throw new DownpourError("environment", message);
    }
    this.#text = trimmed;
    this.#hash = hashOf(trimmed);
  }

  /** What a call sends under {@link tokenKey}. To be handed to the transport only. */
  toHeader(): string {
    return `${scheme}${this.#text}`;
  }

  /** The secret itself, for a service of others that asks for it: NATS. To be handed to its client only. */
  toSecret(): string {
    return this.#text;
  }

  /** Whether a call sent this token, in a time that does not depend on where they differ. */
  isSentAs(header: string): boolean {
    if (!header.startsWith(scheme)) return false;
    return timingSafeEqual(hashOf(header.slice(scheme.length)), this.#hash);
  }

  toString(): string {
    return "[join token]";
  }
}

/** A new token as text, 256 random bits. */
export function makeJoinToken(): string {
  return randomBytes(randomByteCount).toString("base64url");
}

/**
 * Writes a new token into a file that only its owner may read; its folder is made if it is missing.
 * @throws usage when the file exists or can't be written
 */
export async function writeJoinToken(file: string): Promise<void> {
  const failed = (why: string, cause: unknown) => new DownpourError("usage", why, { facts: { file }, cause });
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, `${makeJoinToken()}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && syscall === "open") {
      const next = "move it away, then give the new one to every machine";
      throw failed(`${file} exists already and is not overwritten; ${next}`, error);
    }
    throw failed(
      `can't write the join token ${file}: ${messageOf(error)}; choose another folder with --dir`,
      error,
    );
  }
}

/**
 * Reads a token from a file.
 * @throws environment, naming the file, when it can't be read or holds no token
 */
export async function readJoinToken(file: string): Promise<JoinToken> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const message = `can't read the join token ${file}: ${messageOf(error)}; make one with downpour certs token, and copy it to every machine`;
    throw new DownpourError("environment", message, { facts: { file }, cause: error });
  }
  return new JoinToken(text, file);
}

function hashOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
