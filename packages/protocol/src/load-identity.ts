import { type JoinToken, readJoinToken } from "./join-token.ts";
import { loadTls } from "./load-tls.ts";
import type { Role } from "./roles.ts";
import type { TlsMaterial } from "./tls.ts";

/** Where a process finds what it shows to others. */
export interface IdentityFiles {
  /** Folder that `downpour certs init` made. */
  readonly tlsDirectory: string;
  /** File of the join token; the cluster has none when it is left out. */
  readonly joinTokenFile?: string | undefined;
}

/** What a process shows to others, and asks of them: nothing, in plain text, when both are left out. */
export interface Identity {
  readonly tls?: TlsMaterial;
  readonly token?: JoinToken;
}

/**
 * Reads the certificate of a role and the join token.
 * @throws environment, naming the file, when one of them is missing or no good; see {@link loadTls}
 */
export async function loadIdentity(files: IdentityFiles | undefined, role: Role): Promise<Identity> {
  if (files === undefined) return {};
  const tls = await loadTls(files.tlsDirectory, role);
  return files.joinTokenFile === undefined
    ? { tls }
    : { tls, token: await readJoinToken(files.joinTokenFile) };
}
