import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { DownpourError } from "@downpour/errors";
import {
  CallCredentials,
  type ChannelCredentials,
  type ChannelOptions,
  credentials,
  Metadata,
  ServerCredentials,
} from "@grpc/grpc-js";
import { type JoinToken, tokenKey } from "./join-token.ts";
import { type Role, rolesNamedIn } from "./roles.ts";

/** What one side of a mutual TLS connection holds, each in PEM. */
export interface TlsMaterial {
  /** Certificates of the authorities that may have signed the other side's. */
  readonly ca: Buffer;
  /** This side's certificate, followed by those between it and the authority, if any. */
  readonly certificate: Buffer;
  /** Private key of `certificate`. */
  readonly key: Buffer;
}

/** Plain text without material; with it, clients must show a certificate that `ca` signed. */
export function serverCredentialsOf(tls: TlsMaterial | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(tls.ca, [{ private_key: tls.key, cert_chain: tls.certificate }], true);
}

/** A join token must not cross a network that others can read. */
export function tokenWithoutTls(): DownpourError {
  return new DownpourError(
    "usage",
    "a join token is sent over TLS only, and this process has no certificates; give it some, or leave the token out",
  );
}

/** Name that a client sends in place of an IP address, which TLS does not allow as a server's name (RFC 6066). */
const nameOfAddress = "downpour";

/** The other side of a connection. */
export interface Destination {
  /** host:port */
  readonly address: string;
  /** Role that its certificate must name. */
  readonly role: Role;
}

/**
 * Plain text without material; with it, the server must show a certificate that `ca` signed for the host of the
 * destination and for its role, and every call brings the token, if there is one.
 *
 * @throws usage when there is a token and no TLS
 */
export function channelCredentialsOf(
  tls: TlsMaterial | undefined,
  { address, role }: Destination,
  token?: JoinToken,
): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions } {
  if (tls === undefined) {
    if (token !== undefined) throw tokenWithoutTls();
    return { credentials: credentials.createInsecure(), options: {} };
  }
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
  const channel = credentials.createSsl(tls.ca, tls.key, tls.certificate, {
    checkServerIdentity: (_name, shown) => checkServerIdentity(host, shown) ?? checkRole(role, shown),
  });
  return {
    credentials:
      token === undefined
        ? channel
        : credentials.combineChannelCredentials(channel, callCredentialsOf(token)),
    options: isIP(host) === 0 ? {} : { "grpc.ssl_target_name_override": nameOfAddress },
  };
}

/** Whoever may listen must not pose as another role: a server's machine not as the coordinator. */
function checkRole(role: Role, shown: PeerCertificate): Error | undefined {
  const found = rolesNamedIn(shown.subjectaltname);
  if (found.includes(role)) return undefined;
  const who = found.length === 0 ? "no role" : `role ${found.join(", ")}`;
  return new Error(`its certificate is of ${who}, expected ${role}`);
}

function callCredentialsOf(token: JoinToken): CallCredentials {
  return CallCredentials.createFromMetadataGenerator((_call, done) => {
    const metadata = new Metadata();
    metadata.set(tokenKey, token.toHeader());
    done(null, metadata);
  });
}
