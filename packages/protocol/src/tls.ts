import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
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

/**
 * Plain text without material; with it, the server must show a certificate that `ca` signed for the host of
 * `address`, and every call brings the token, if there is one.
 *
 * @param address host:port
 * @throws usage when there is a token and no TLS
 */
export function channelCredentialsOf(
  tls: TlsMaterial | undefined,
  address: string,
  token?: JoinToken,
): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions } {
  if (tls === undefined) {
    if (token !== undefined) throw tokenWithoutTls();
    return { credentials: credentials.createInsecure(), options: {} };
  }
  const { ca, key, certificate } = tls;
  const withToken = (channel: ChannelCredentials) =>
    token === undefined ? channel : credentials.combineChannelCredentials(channel, callCredentialsOf(token));
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) === 0)
    return { credentials: withToken(credentials.createSsl(ca, key, certificate)), options: {} };
  const channel = credentials.createSsl(ca, key, certificate, {
    checkServerIdentity: (_name, shown) => checkServerIdentity(host, shown),
  });
  return { credentials: withToken(channel), options: { "grpc.ssl_target_name_override": nameOfAddress } };
}

function callCredentialsOf(token: JoinToken): CallCredentials {
  return CallCredentials.createFromMetadataGenerator((_call, done) => {
    const metadata = new Metadata();
    metadata.set(tokenKey, token.toHeader());
    done(null, metadata);
  });
}
