import { listeningRoles, roles } from "./roles.ts";
import type { TlsMaterial } from "./tls.ts";
import { clockToleranceMs, makeAuthority, signCertificate } from "./x509.ts";

/** A throw-away authority and what it signed. */
export interface CertificateSet {
  readonly server: TlsMaterial;
  readonly client: TlsMaterial;
}

const validityMs = 24 * 60 * 60_000;

/**
 * Makes an authority, and a certificate for a server and a client signed by it, valid for a day: for tests and
 * benchmarks over mutual TLS. The server speaks for every role that
 * listens, the client for all. The authority's key is thrown away.
 *
 * @param hostnames names and IP addresses under which the server is reached
 */
export async function makeCertificates(hostnames: readonly string[]): Promise<CertificateSet> {
  const now = Date.now();
  const validity = { notBefore: new Date(now - clockToleranceMs), notAfter: new Date(now + validityMs) };
  const authority = await makeAuthority("Downpour throw-away authority", validity);
  const ca = authority.certificate;
  const server = await signCertificate(authority, {
    ...{
      ...validity,
      name: "downpour server",
      hosts: hostnames,
      roles: listeningRoles,
      server: true,
      client: false,
    },
  });
  const client = await signCertificate(authority, {
    ...{ ...validity, name: "downpour client", hosts: [], roles, server: false, client: true },
  });
  return { server: { ca, ...server }, client: { ca, ...client } };
}
