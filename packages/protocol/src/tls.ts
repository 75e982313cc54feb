import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import { type ChannelCredentials, type ChannelOptions, credentials, ServerCredentials } from "@grpc/grpc-js";

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

/** Name that a client sends in place of an IP address, which TLS does not allow as a server's name (RFC 6066). */
const nameOfAddress = "downpour";

/**
 * Plain text without material; with it, the server must show a certificate that `ca` signed for the host of
 * `address`.
 *
 * @param address host:port
 */
export function channelCredentialsOf(
  tls: TlsMaterial | undefined,
  address: string,
): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions } {
  if (tls === undefined) return { credentials: credentials.createInsecure(), options: {} };
  const { ca, key, certificate } = tls;
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) === 0) return { credentials: credentials.createSsl(ca, key, certificate), options: {} };
  return {
    credentials: credentials.createSsl(ca, key, certificate, {
      checkServerIdentity: (_name, shown) => checkServerIdentity(host, shown),
    }),
    options: { "grpc.ssl_target_name_override": nameOfAddress },
  };
}
