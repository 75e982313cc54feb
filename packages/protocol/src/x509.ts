import { createPrivateKey, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { type Role, roleUri } from "./roles.ts";

/** From when until when a certificate holds. */
export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** A certificate authority that can sign. */
export interface Authority {
  /** Its certificate, in PEM. */
  readonly certificate: Buffer;
  readonly key: webcrypto.CryptoKey;
}

/** A certificate and its private key, both in PEM. */
export interface Credential {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface CertificateTerms extends Validity {
  /** Common name of the subject. */
  readonly name: string;
  /** Host names and IP addresses under which it may be reached. */
  readonly hosts: readonly string[];
  /** Roles that it speaks for. */
  readonly roles: readonly Role[];
  /** May listen. */
  readonly server: boolean;
  /** May connect. */
  readonly client: boolean;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const serialBytes = 16;
/** Clocks of two machines may differ by so much. */
export const clockToleranceMs = 60_000;

/** Loaded only where certificates are made, since the services start without it; the first must come first. */
async function loadX509() {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto as never);
  return x509;
}

/** Makes an authority with a key of its own, ECDSA over P-256. */
export async function makeAuthority(name: string, validity: Validity): Promise<Authority> {
  const x509 = await loadX509();
  const keys = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...{ serialNumber: makeSerial(), signingAlgorithm: algorithm, name: `CN=${name}`, keys },
    ...{ notBefore: validity.notBefore, notAfter: validity.notAfter },
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: Buffer.from(`${certificate.toString("pem")}\n`), key: keys.privateKey };
}

/**
 * An authority from its PEM texts.
 * @throws what the parser throws when one of them is no good, or the key is not ECDSA over P-256
 */
export async function readAuthority({ certificate, key }: Credential): Promise<Authority> {
  const der = createPrivateKey(key).export({ type: "pkcs8", format: "der" });
  return { certificate, key: await webcrypto.subtle.importKey("pkcs8", der, algorithm, true, ["sign"]) };
}

/** The key of an authority, in PEM. */
export function authorityKey(authority: Authority): Promise<Buffer> {
  return pemOf(authority.key);
}

/** Makes a key and a certificate that the authority signed for it. */
export async function signCertificate(authority: Authority, terms: CertificateTerms): Promise<Credential> {
  const x509 = await loadX509();
  const ca = new x509.X509Certificate(authority.certificate.toString());
  const keys = await makeKeys();
  const { ExtendedKeyUsage } = x509;
  const usages = [
    ...(terms.server ? [ExtendedKeyUsage.serverAuth] : []),
    ...(terms.client ? [ExtendedKeyUsage.clientAuth] : []),
  ];
  const names = [
    ...terms.roles.map((role) => ({ type: "url" as const, value: roleUri(role) })),
    ...terms.hosts.map((value) => ({ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    ...{ serialNumber: makeSerial(), signingAlgorithm: algorithm },
    ...{ subject: `CN=${terms.name}`, issuer: ca.subject },
    ...{ publicKey: keys.publicKey, signingKey: authority.key },
    ...{ notBefore: terms.notBefore, notAfter: terms.notAfter },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      await x509.AuthorityKeyIdentifierExtension.create(ca.publicKey),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return { certificate: Buffer.from(`${certificate.toString("pem")}\n`), key: await pemOf(keys.privateKey) };
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

function makeSerial(): string {
  return Buffer.from(webcrypto.getRandomValues(new Uint8Array(serialBytes))).toString("hex");
}

async function pemOf(key: webcrypto.CryptoKey): Promise<Buffer> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return Buffer.from(`-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`);
}
