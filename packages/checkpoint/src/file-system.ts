import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { DownpourError, messageOf } from "@downpour/errors";

/** The calls that a store is made of, as node:fs/promises has them. */
export interface FileSystem {
  readonly mkdir: typeof mkdir;
  readonly open: typeof open;
  readonly readdir: typeof readdir;
  readonly rename: typeof rename;
  readonly rm: typeof rm;
  readonly stat: typeof stat;
}

/** The machine's own. */
export const nodeFileSystem: FileSystem = { mkdir, open, readdir, rename, rm, stat };

/** The code of a file system's error, such as ENOENT; undefined for anything else. */
export function fileErrorCode(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/**
 * The error to throw for one that a file system gave; one of Downpour is given back as it is.
 * @param what what was done, as in "writing <path>"
 */
export function storeError(error: unknown, what: string): unknown {
  const code = fileErrorCode(error);
  if (code === undefined) return error;
  const fail = (kind: ConstructorParameters<typeof DownpourError>[0], reason: string) =>
    new DownpourError(kind, `${what}: ${reason}`, { cause: error, facts: { code } });
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return fail(
        "resourceExhausted",
        `the disk is full (${code}). Earlier checkpoints are untouched; free space, keep fewer checkpoints, or ` +
          "name another folder in checkpoint.uri",
      );
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return fail(
        "environment",
        `this process may not do that there (${code}). Mount the folder writable, give the process's user the right ` +
          "to read and write it, or name another folder in checkpoint.uri",
      );
    case "ENOENT":
    case "ENOTDIR":
      return fail(
        "notFound",
        `there is no such folder (${code}). Create it, or mount it on this machine, or name another one in ` +
          "checkpoint.uri",
      );
    case "EINVAL":
    case "ENOTSUP":
    case "EOPNOTSUPP":
      return fail(
        "environment",
        `the file system can't do that (${code}). A store of checkpoints needs rename and fsync of files and ` +
          "folders; name a folder on another file system in checkpoint.uri",
      );
    default:
      return fail("environment", `${messageOf(error)}. Look after the disk, or name another folder`);
  }
}
