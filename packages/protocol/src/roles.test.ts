import { expect, test } from "vitest";
import { roles, rolesNamedIn, roleUri } from "./roles.ts";

test("a certificate's roles are those of its URI names, whatever other names it has", () => {
  expect(rolesNamedIn("URI:downpour://role/worker")).toEqual(["worker"]);
  expect(rolesNamedIn("DNS:node1, URI:downpour://role/server, IP Address:10.0.0.7")).toEqual(["server"]);
  expect(rolesNamedIn(roles.map((role) => `URI:${roleUri(role)}`).join(", "))).toEqual([...roles]);
});

test.each([
  ["no names", undefined],
  ["host names only", "DNS:worker, IP Address:10.0.0.7"],
  ["an unknown role", "URI:downpour://role/root"],
  ["a longer name", "URI:downpour://role/admin/x"],
  ["a role under another scheme", "URI:https://role/admin"],
  ["a role as a host name", "DNS:downpour://role/admin"],
  ["a role inside a quoted host name", 'DNS:"a, URI:downpour://role/admin, b", URI:downpour://role/worker'],
])("%s name no role", (_, names) => {
  expect(rolesNamedIn(names)).toEqual([]);
});
