import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { services } from "./definition.ts";
import { permissions, rolesAllowed } from "./permissions.ts";
import { type Role, roles } from "./roles.ts";

/** `Service/Rpc` of every RPC in the proto files. */
function rpcsOfProtoFiles(): string[] {
  const folder = fileURLToPath(new URL("../../../proto/downpour/v1/", import.meta.url));
  return readdirSync(folder).flatMap((file) => {
    let service = "";
    return readFileSync(`${folder}${file}`, "utf8")
      .split("\n")
      .flatMap((line) => {
        service = /^service (\w+)/.exec(line)?.[1] ?? service;
        const rpc = /^\s*rpc (\w+)/.exec(line)?.[1];
        return rpc === undefined ? [] : [`${service}/${rpc}`];
      });
  });
}

test("every RPC of the proto files has an entry, and no entry is without its RPC", () => {
  const entries = Object.entries(permissions).flatMap(([service, table]) =>
    Object.keys(table).map((rpc) => `${service}/${rpc}`),
  );
  const rpcs = rpcsOfProtoFiles();
  expect(rpcs.length).toBeGreaterThan(20);
  expect(entries.sort()).toEqual(rpcs.sort());
});

test("every RPC of the services as they are served may be called by some role, found by its path", () => {
  for (const { service } of Object.values(services)) {
    for (const { path } of Object.values(service)) {
      const allowed = rolesAllowed(path);
      expect(allowed.length, path).toBeGreaterThan(0);
      expect(new Set(allowed).size, path).toBe(allowed.length);
      for (const role of allowed) expect(roles, path).toContain(role);
    }
  }
});

test("docs/security.md lists the same", () => {
  const document = readFileSync(new URL("../../../docs/security.md", import.meta.url), "utf8");
  let service = "";
  const listed: Record<string, string> = {};
  for (const line of document.slice(document.indexOf("## Roles")).split("\n")) {
    const [first = "", rpcs = "", names = ""] = line.split("|").slice(1);
    if (!/`\w+`/.test(rpcs)) continue;
    service = first.trim() || service;
    for (const [, rpc] of rpcs.matchAll(/`(\w+)`/g)) listed[`${service}/${rpc}`] = names.trim();
  }
  const expected = Object.entries(permissions).flatMap(([name, table]) =>
    Object.entries<readonly Role[]>(table).map(([rpc, allowed]) => [
      `${name}/${rpc}`,
      allowed.length === roles.length ? "all" : allowed.join(", "),
    ]),
  );
  expect(listed).toEqual(Object.fromEntries(expected));
});

test("an RPC that the table does not know may be called by nobody", () => {
  expect(() => rolesAllowed("/downpour.v1.Coordinator/NotInvented")).toThrow(
    expect.objectContaining({ code: "internal", message: expect.stringContaining("NotInvented") }),
  );
});

test("a worker can't give commands to servers, and only an administrator stops a job", () => {
  const { Coordinator, ParameterServer } = permissions;
  for (const rpc of ["Assign", "SetMembers", "CloseRounds"] as const) {
    expect(ParameterServer[rpc]).toEqual(["coordinator"]);
  }
  expect(ParameterServer.Push).toEqual(["worker"]);
  expect(Coordinator.StopJob).toEqual(["admin"]);
});
