import { describe, expect, it } from "vitest";
import { type GuardOptions, type RequestFacts, refusalOf } from "./guard.ts";

const loopback: GuardOptions = { loopback: true, tls: false, token: undefined };
const open: GuardOptions = {
  loopback: false,
  tls: true,
  token: { isSentAs: (header) => header === "Bearer secret" },
};
const request: RequestFacts = {
  method: "GET",
  api: true,
  host: "127.0.0.1:4747",
  origin: undefined,
  fetchSite: undefined,
  contentType: undefined,
  authorization: undefined,
};
const post = { ...request, method: "POST", contentType: "application/json" };

describe("the guard of the live page", () => {
  it.each(["localhost", "localhost:4747", "LOCALHOST:1", "127.0.0.1:80", "127.1.2.3", "[::1]:4747"])(
    "on loopback answers a request to %s",
    (host) => {
      expect(refusalOf({ ...request, host }, loopback)).toBeUndefined();
    },
  );

  it.each([
    "evil.example:4747",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.7:4747",
    "0.0.0.0",
  ])("on loopback refuses one to %s, which may lead here by DNS rebinding, also for files", (host) => {
    for (const api of [true, false]) {
      expect(refusalOf({ ...request, api, host }, loopback)).toMatchObject({ status: 403 });
    }
  });

  it.each([undefined, "", "a b", "user@localhost", "localhost:4747/x"])(
    "refuses host %s as malformed",
    (host) => {
      expect(refusalOf({ ...request, host }, loopback)).toMatchObject({ status: 400 });
    },
  );

  it("answers the page itself, and refuses what browsers say comes from elsewhere", () => {
    expect(
      refusalOf({ ...post, origin: "http://127.0.0.1:4747", fetchSite: "same-origin" }, loopback),
    ).toBeUndefined();
    for (const origin of ["http://evil.example", "http://127.0.0.1:8080", "https://127.0.0.1:4747", "null"]) {
      expect(refusalOf({ ...post, origin }, loopback)).toMatchObject({ status: 403 });
    }
    for (const fetchSite of ["cross-site", "same-site"]) {
      expect(refusalOf({ ...request, fetchSite }, loopback)).toMatchObject({ status: 403 });
    }
    expect(refusalOf({ ...request, api: false, fetchSite: "cross-site" }, loopback)).toBeUndefined();
  });

  it.each([undefined, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])(
    "refuses a command of content type %s",
    (contentType) => {
      expect(refusalOf({ ...post, contentType }, loopback)).toMatchObject({ status: 415 });
    },
  );

  it("on another address asks for the token, and never tells it", () => {
    const away = { ...request, host: "node1:4747" };
    expect(refusalOf({ ...away, authorization: "Bearer secret" }, open)).toBeUndefined();
    for (const authorization of [undefined, "", "Bearer", "Bearer wrong", "secret"]) {
      const refused = refusalOf({ ...away, authorization }, open);
      expect(refused).toMatchObject({ status: 401 });
      expect(refused?.message).not.toContain("secret");
    }
    expect(refusalOf({ ...away, api: false }, open)).toBeUndefined();
  });
});
