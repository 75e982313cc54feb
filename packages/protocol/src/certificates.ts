import { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import type { TlsMaterial } from "./tls.ts";

/** A throw-away authority and what it signed. */
export interface CertificateSet {
  readonly server: TlsMaterial;
  readonly client: TlsMaterial;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const validityMs = 24 * 60 * 60_000;
const serialBytes = 16;

/**
 * Makes an authority, and a certificate for a server and a client signed by it, valid for a day: for tests and
 * benchmarks over mutual TLS. The authority's key is thrown away.
 *
 * @param hostnames names and IP addresses under which the server is reached
 */
export async function makeCertificates(hostnames: readonly string[]): Promise<CertificateSet> {
  // Loaded only here, since the services start without it; the first must come first.
  await import("reflect-metadata");
  const {
    BasicConstraintsExtension,
    cryptoProvider,
    ExtendedKeyUsage,
    ExtendedKeyUsageExtension,
    KeyUsageFlags,
    KeyUsagesExtension,
    SubjectAlternativeNameExtension,
    X509CertificateGenerator,
  } = await import("@peculiar/x509");
  cryptoProvider.set(webcrypto as never);
  const authority = await makeKeys();
  const issuer = "CN=Downpour throw-away authority";
  const ca = await X509CertificateGenerator.createSelfSigned({
    ...terms(),
    name: issuer,
    keys: authority,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  });
  const sign = async (name: string, usage: string, hosts: readonly string[]): Promise<TlsMaterial> => {
    const keys = await makeKeys();
    const names = hosts.map((value) => ({
      type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const),
      value,
    }));
    const certificate = await X509CertificateGenerator.create({
      ...terms(),
      subject: `CN=${name}`,
      issuer,
      publicKey: keys.publicKey,
      signingKey: authority.privateKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([usage]),
        ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
      ],
    });
    return {
      ca: Buffer.from(ca.toString("pem")),
      certificate: Buffer.from(certificate.toString("pem")),
      key: await pemOf(keys.privateKey),
    };
  };
  return {
    server: await sign("downpour server", ExtendedKeyUsage.serverAuth, hostnames),
    client: await sign("downpour client", ExtendedKeyUsage.clientAuth, []),
  };
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

/** Serial number, validity and algorithm of one certificate. */
function terms() {
  const now = Date.now();
  return {
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(serialBytes))).toString("hex"),
    // Clocks of two machines may differ a little.
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + validityMs),
    signingAlgorithm: algorithm,
  };
}

async function pemOf(key: webcrypto.CryptoKey): Promise<Buffer> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return Buffer.from(`-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`);
}
