import { X509Certificate } from "node:crypto";
import { access, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";
import { listeningRoles, type Role, roles } from "./roles.ts";
import {
  authorityKey,
  type Credential,
  clockToleranceMs,
  makeAuthority,
  readAuthority,
  signCertificate,
} from "./x509.ts";

/** Paths of a folder of certificates. A machine needs `ca` and the two files of its role, and no others. */
export function certificateFiles(directory: string) {
  return {
    /** Certificate of the authority. */
    ca: join(directory, "ca.pem"),
    /** Key of the authority: whoever has it can let anybody in. */
    caKey: join(directory, "ca-key.pem"),
    certificateOf: (role: Role) => join(directory, `${role}.pem`),
    keyOf: (role: Role) => join(directory, `${role}-key.pem`),
  };
}

/** A certificate that was written. */
export interface IssuedCertificate {
  readonly role: Role;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly hosts: readonly string[];
  readonly notAfter: Date;
}

export interface IssueOptions {
  readonly directory: string;
  /** Host names and IP addresses of the machines that listen; the coordinator's and all servers'. */
  readonly hosts: readonly string[];
  readonly days: number;
  readonly now: Date;
}

const dayMs = 24 * 60 * 60_000;
/** The authority outlives the certificates that it signs, so that they can be renewed without touching others. */
const authorityDaysMin = 3650;
const secretMode = 0o600;
const publicMode = 0o644;
const folderMode = 0o700;

/**
 * Makes an authority and a certificate with key for each role in a folder, which is made if it is missing.
 *
 * @throws usage: one of the files is there already, a host is no name, or the folder can't be written
 */
export async function initCertificates(options: IssueOptions): Promise<readonly IssuedCertificate[]> {
  const { directory, days, now } = options;
  const hosts = checkHosts(options.hosts);
  const files = certificateFiles(directory);
  await refuseExisting([
    ...[files.ca, files.caKey],
    ...roles.flatMap((role) => [files.certificateOf(role), files.keyOf(role)]),
  ]);
  const notAfter = new Date(now.getTime() + Math.max(authorityDaysMin, days) * dayMs);
  const authority = await makeAuthority("Downpour authority", { notBefore: startOf(now), notAfter });
  const signed = await Promise.all(
    roles.map(async (role) => ({ role, credential: await signFor(authority, role, { hosts, days, now }) })),
  );
  try {
    await mkdir(directory, { recursive: true, mode: folderMode });
    await writeFile(files.caKey, await authorityKey(authority), { mode: secretMode, flag: "wx" });
    await writeFile(files.ca, authority.certificate, { mode: publicMode, flag: "wx" });
    for (const { role, credential } of signed) {
      await writeFile(files.keyOf(role), credential.key, { mode: secretMode, flag: "wx" });
      await writeFile(files.certificateOf(role), credential.certificate, { mode: publicMode, flag: "wx" });
    }
  } catch (error) {
    throw new DownpourError("usage", `can't write certificates into ${directory}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return signed.map(({ role, credential }) => describeIssued(directory, role, credential));
}

/**
 * Makes a new key and certificate for one role, signed by the folder's authority, in place of those that are there.
 *
 * @param options `hosts` left out: those of the certificate that is replaced
 * @throws usage: the authority is missing, can't be read or has expired, a listening role gets no host, a host is no
 * name, or the folder can't be written
 */
export async function issueCertificate(
  role: Role,
  options: Omit<IssueOptions, "hosts"> & { readonly hosts?: readonly string[] },
): Promise<IssuedCertificate> {
  const { directory, days, now } = options;
  const files = certificateFiles(directory);
  const certificate = await readOfAuthority(files.ca);
  const key = await readOfAuthority(files.caKey);
  const { authority, expires } = await openAuthority(files, { certificate, key });
  if (expires <= now) {
    const message = `the authority ${files.ca} expired on ${expires.toISOString()}; make another one with downpour certs init --dir FOLDER, and give its files to every machine`;
    throw new DownpourError("usage", message);
  }
  const hosts = checkHosts(options.hosts ?? (await hostsOfFile(files.certificateOf(role))));
  const credential = await signFor(authority, role, { hosts, days, now, until: expires });
  try {
    await replaceFile(files.keyOf(role), credential.key, secretMode);
    await replaceFile(files.certificateOf(role), credential.certificate, publicMode);
  } catch (error) {
    throw new DownpourError("usage", `can't write certificates into ${directory}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return describeIssued(directory, role, credential);
}

interface SignOptions {
  readonly hosts: readonly string[];
  readonly days: number;
  readonly now: Date;
  /** No certificate outlives its authority. */
  readonly until?: Date;
}

function signFor(
  authority: Parameters<typeof signCertificate>[0],
  role: Role,
  { hosts, days, now, until }: SignOptions,
): Promise<Credential> {
  const listens = listeningRoles.includes(role);
  if (listens && hosts.length === 0) {
    const message = `a certificate of role ${role} names the hosts that it is reached at; name them with --host NAME`;
    throw new DownpourError("usage", message);
  }
  const asked = now.getTime() + days * dayMs;
  return signCertificate(authority, {
    ...{
      name: `downpour ${role}`,
      hosts: listens ? hosts : [],
      roles: [role],
      server: listens,
      client: true,
    },
    ...{ notBefore: startOf(now), notAfter: new Date(Math.min(asked, until?.getTime() ?? asked)) },
  });
}

function startOf(now: Date): Date {
  return new Date(now.getTime() - clockToleranceMs);
}

/** A DNS name, with a star as its first label if wanted. */
const hostName = /^(\*\.)?[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*$/i;

function checkHosts(hosts: readonly string[]): readonly string[] {
  const wrong = hosts.find((host) => isIP(host) === 0 && !hostName.test(host));
  if (wrong !== undefined) {
    const message = `--host ${wrong}: expected a host name or an IP address, without port, for example node1.example.com or 10.0.0.7`;
    throw new DownpourError("usage", message);
  }
  return [...new Set(hosts)];
}

async function refuseExisting(files: readonly string[]): Promise<void> {
  for (const file of files) {
    const there = await access(file).then(
      () => true,
      () => false,
    );
    if (there) {
      const message = `${file} exists already and is not overwritten; renew one role with downpour certs issue ROLE, or choose another folder with --dir`;
      throw new DownpourError("usage", message, { facts: { file } });
    }
  }
}

async function readOfAuthority(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const message = `can't read ${file}, which signs certificates: ${messageOf(error)}; name its folder with --dir, or make one with downpour certs init`;
    throw new DownpourError("usage", message, { facts: { file }, cause: error });
  }
}

async function openAuthority(files: { readonly ca: string; readonly caKey: string }, texts: Credential) {
  try {
    const authority = await readAuthority(texts);
    return { authority, expires: new Date(new X509Certificate(texts.certificate).validTo) };
  } catch (error) {
    const message = `${files.ca} and ${files.caKey} are no authority that can sign: ${messageOf(error)}; restore them, or make another one with downpour certs init`;
    throw new DownpourError("usage", message, { cause: error });
  }
}

/** The hosts that the certificate of a file names; none when there is no such file. */
async function hostsOfFile(file: string): Promise<readonly string[]> {
  const text = await readFile(file).catch(() => undefined);
  if (text === undefined) return [];
  try {
    return hostsOf(new X509Certificate(text));
  } catch (error) {
    const message = `${file} is no certificate: ${messageOf(error)}; name the hosts of the new one with --host NAME`;
    throw new DownpourError("usage", message, { facts: { file }, cause: error });
  }
}

function hostsOf(certificate: X509Certificate): readonly string[] {
  const names = certificate.subjectAltName?.split(", ") ?? [];
  return names.flatMap((name) => /^(?:DNS|IP Address):(.*)$/.exec(name)?.[1] ?? []);
}

/** A reader finds the old file or the new one, never a part. */
async function replaceFile(file: string, content: Buffer, mode: number): Promise<void> {
  const temporary = `${file}.new-${process.pid}`;
  try {
    await writeFile(temporary, content, { mode, flag: "wx" });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function describeIssued(directory: string, role: Role, { certificate }: Credential): IssuedCertificate {
  const files = certificateFiles(directory);
  const parsed = new X509Certificate(certificate);
  return {
    ...{ role, certificateFile: files.certificateOf(role), keyFile: files.keyOf(role) },
    ...{ hosts: hostsOf(parsed), notAfter: new Date(parsed.validTo) },
  };
}
