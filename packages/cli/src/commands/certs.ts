import { hostname } from "node:os";
import { join, relative, resolve } from "node:path";
import {
  certificateFiles,
  type IssuedCertificate,
  initCertificates,
  issueCertificate,
  makeJoinToken,
  roles,
  writeJoinToken,
} from "@downpour/protocol";
import type { Command } from "commander";
import { integerOption, wordOption } from "../bench/options.ts";
import type { Reporter } from "../reporter.ts";

/** Options of `downpour certs init` and `issue`, as text. */
export interface CertsOptions {
  readonly dir: string;
  readonly host?: readonly string[];
  readonly days: string;
}

/** Options of `downpour certs token`. */
export interface TokenOptions {
  readonly dir: string;
  readonly print?: boolean;
}

const defaultDirectory = "certs";
const daysDefault = 365;
/** Longer than that, and a lost key is good for too long. */
const daysMax = 3650;
const tokenFile = "join-token";

/** Adds `downpour certs` with its commands. */
export function addCerts(program: Command, reporter: () => Reporter): void {
  const certs = program
    .command("certs")
    .description(
      "make certificates and a join token, which decide who may join a cluster (docs/security.md)",
    );
  const folder = ["--dir <folder>", "folder of the certificates", defaultDirectory] as const;
  const days = [
    "--days <count>",
    `days that certificates hold, 1 to ${daysMax}`,
    String(daysDefault),
  ] as const;

  certs
    .command("init")
    .description("make an authority, and a certificate and key for each role; overwrites nothing")
    .option(...folder)
    .option(
      "--host <name...>",
      "host names and IP addresses of all machines that run the coordinator or a server; this machine's without it",
    )
    .option(...days)
    .action(async (options: CertsOptions) => await certsInit(options, new Date(), reporter()));

  certs
    .command("issue")
    .description(
      "make a new certificate and key for one role, when hosts change or the old one is about to expire",
    )
    .argument("<role>", roles.join(", "))
    .option(...folder)
    .option("--host <name...>", "host names and IP addresses; those of the old certificate without it")
    .option(...days)
    .action(
      async (role: string, options: CertsOptions) => await certsIssue(role, options, new Date(), reporter()),
    );

  certs
    .command("token")
    .description("make a join token, a secret that every process of a cluster must have; overwrites nothing")
    .option(...folder)
    .option("--print", "print it instead of writing a file, for a store of secrets")
    .action(async (options: TokenOptions) => await certsToken(options, reporter()));
}

/**
 * `downpour certs init`.
 * @throws usage when a file exists, or an option is wrong
 */
export async function certsInit(options: CertsOptions, now: Date, reporter: Reporter): Promise<void> {
  const directory = resolve(options.dir);
  const issued = await initCertificates({
    ...{ directory, hosts: options.host ?? hostsHere(), days: daysOf(options), now },
  });
  const { ca, caKey } = certificateFiles(directory);
  reporter.result({ directory, ca, caKey, certificates: issued.map(factsOf) }, [
    ...issued.map(lineOf),
    "",
    `Give each machine ${shown(ca)} and the two files of its role.`,
    `Keep ${shown(caKey)} off them: whoever has it can let anybody in.`,
  ]);
}

/**
 * `downpour certs issue ROLE`.
 * @throws usage when there is no authority, or the role or an option is wrong
 */
export async function certsIssue(
  roleText: string,
  options: CertsOptions,
  now: Date,
  reporter: Reporter,
): Promise<void> {
  const role = wordOption("role", roleText, roles);
  const directory = resolve(options.dir);
  const issued = await issueCertificate(role, {
    ...{ directory, days: daysOf(options), now, ...(options.host && { hosts: options.host }) },
  });
  reporter.result({ directory, certificates: [factsOf(issued)] }, [
    lineOf(issued),
    "",
    `Copy ${shown(issued.certificateFile)} and ${shown(issued.keyFile)} to the machines of the role, and start it again there.`,
  ]);
}

/**
 * `downpour certs token`. Only `--print` shows the token.
 * @throws usage when the file exists or can't be written
 */
export async function certsToken(options: TokenOptions, reporter: Reporter): Promise<void> {
  if (options.print === true) {
    const token = makeJoinToken();
    reporter.result({ token }, [token]);
    return;
  }
  const file = join(resolve(options.dir), tokenFile);
  await writeJoinToken(file);
  reporter.result({ file }, [
    `${shown(file)}: a join token, for its owner's eyes only`,
    "",
    "Give it to every machine of the cluster, as a file that only its user may read.",
  ]);
}

function daysOf({ days }: CertsOptions): number {
  return integerOption("--days", days, 1, daysMax);
}

/** The names of this machine, for a cluster that has no other. */
function hostsHere(): string[] {
  return ["localhost", "127.0.0.1", "::1", hostname()];
}

function factsOf({ role, certificateFile, keyFile, hosts, notAfter }: IssuedCertificate) {
  return { role, certificateFile, keyFile, hosts, notAfter: notAfter.toISOString() };
}

const roleWidth = Math.max(...roles.map((role) => role.length));

function lineOf({ role, certificateFile, hosts, notAfter }: IssuedCertificate): string {
  const where = hosts.length === 0 ? "" : `, for ${hosts.join(", ")}`;
  const day = notAfter.toISOString().slice(0, 10);
  return `${role.padEnd(roleWidth)}  ${shown(certificateFile)}, until ${day}${where}`;
}

function shown(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith("..") ? file : path;
}
