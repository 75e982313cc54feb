import { DownpourError } from "@downpour/errors";
import type { IdentityFiles } from "@downpour/protocol";

/** Options that say what a process shows to others. */
export interface IdentityOptions {
  readonly tlsDir?: string;
  readonly joinTokenFile?: string;
}

/** @throws usage: a join token without certificates */
export function identityOf({ tlsDir, joinTokenFile }: IdentityOptions): IdentityFiles | undefined {
  if (tlsDir !== undefined) return { tlsDirectory: tlsDir, joinTokenFile };
  if (joinTokenFile === undefined) return undefined;
  throw new DownpourError(
    "usage",
    `--join-token-file ${joinTokenFile}: a join token is sent over TLS only; name the certificates with --tls-dir, too`,
  );
}
