import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { DownpourError, messageOf } from "@downpour/errors";
import { certificateFiles } from "./certificate-folder.ts";
import { type Role, rolesNamedIn } from "./roles.ts";
import type { TlsMaterial } from "./tls.ts";

/**
 * Reads what a role shows to others from a folder that `downpour certs init` made: the authority's certificate, and
 * the certificate and key of the role. The authority's key is not needed.
 *
 * @param now what dates are compared with
 * @throws environment, naming the file and the next step: a file is missing or can't be read, the key is not the
 * certificate's, a certificate has expired or does not hold yet, it is for another role, or the authority did not sign it
 */
export async function loadTls(directory: string, role: Role, now = new Date()): Promise<TlsMaterial> {
  const files = certificateFiles(directory);
  const certificateFile = files.certificateOf(role);
  const keyFile = files.keyOf(role);
  const ca = await readPart(files.ca, "the authority's certificate");
  const certificate = await readPart(certificateFile, `the certificate of role ${role}`);
  const key = await readPart(keyFile, `the key of role ${role}`);

  const authorities = parseCertificates(ca, files.ca);
  const chain = parseCertificates(certificate, certificateFile);
  const renew = `renew it with downpour certs issue ${role}`;
  // One of several may have expired while authorities are replaced.
  const holding = authorities.filter((authority) => holds(authority, now));
  for (const expired of holding.length === 0 ? authorities : []) {
    checkDates(expired, files.ca, now, "make another one with downpour certs init");
  }
  for (const shown of chain) checkDates(shown, certificateFile, now, renew);
  const [leaf, ...between] = chain;
  if (leaf === undefined) throw problem(certificateFile, "has no certificate", renew);
  if (!leaf.checkPrivateKey(parseKey(key, keyFile, role))) {
    throw problem(
      keyFile,
      `is not the key of ${certificateFile}`,
      `copy both from the same place, or ${renew}`,
    );
  }
  const named = rolesNamedIn(leaf.subjectAltName);
  if (!named.includes(role)) {
    const found = named.length === 0 ? "no role" : `role ${named.join(", ")}`;
    throw problem(certificateFile, `is a certificate of ${found}, expected ${role}`, renew);
  }
  const issuers = [...between, ...holding];
  const isSigned = (shown: X509Certificate) =>
    issuers.some((issuer) => shown.checkIssued(issuer) && shown.verify(issuer.publicKey));
  if (!chain.every(isSigned)) {
    const step = `copy both from one folder, or ${renew} where the authority's key is`;
    throw problem(certificateFile, `is not signed by ${files.ca}`, step);
  }
  return { ca, certificate, key };
}

function problem(file: string, what: string, nextStep: string, cause?: unknown): DownpourError {
  return new DownpourError("environment", `${file} ${what}; ${nextStep}`, { facts: { file }, cause });
}

async function readPart(file: string, what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw problem(
        file,
        `is missing: ${what}`,
        "copy it from the folder that downpour certs init made",
        error,
      );
    }
    const step = "let the user that runs this process read it, and nobody else if it is a key";
    throw problem(file, `can't be read (${messageOf(error)}): ${what}`, step, error);
  }
}

/** All certificates of a file, in order. */
function parseCertificates(pem: Buffer, file: string): X509Certificate[] {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
  const step = "copy it anew from the folder that downpour certs init made";
  if (blocks === null) throw problem(file, "has no certificate in PEM", step);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw problem(file, `is no certificate in PEM (${messageOf(error)})`, step, error);
  }
}

function parseKey(pem: Buffer, file: string, role: Role): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const step = `copy it anew, or make another one with downpour certs issue ${role}`;
    throw problem(file, `is no private key in PEM without password (${messageOf(error)})`, step, error);
  }
}

function holds({ validFrom, validTo }: X509Certificate, now: Date): boolean {
  return new Date(validFrom) <= now && now <= new Date(validTo);
}

function checkDates(certificate: X509Certificate, file: string, now: Date, nextStep: string): void {
  const from = new Date(certificate.validFrom);
  const to = new Date(certificate.validTo);
  if (now > to) throw problem(file, `expired on ${to.toISOString()}, now is ${now.toISOString()}`, nextStep);
  if (now < from) {
    const what = `holds from ${from.toISOString()} on, now is ${now.toISOString()}`;
    throw problem(file, what, `set this machine's clock, or ${nextStep}`);
  }
}
