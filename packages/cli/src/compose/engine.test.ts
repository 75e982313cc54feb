import { describe, expect, it } from "vitest";
import type { Said } from "./docker.ts";
import { findEngine } from "./engine.ts";

const absent: Said = { status: null, stdout: "", stderr: "", missing: true };
const says = (stdout: string): Said => ({ status: 0, stdout, stderr: "", missing: false });
const fails = (stderr: string): Said => ({ status: 1, stdout: "", stderr, missing: false });

/** Answers by the beginning of the command line. */
function asking(answers: Readonly<Record<string, Said>>) {
  return async (program: string, args: readonly string[]) => {
    const line = [program, ...args].join(" ");
    return Object.entries(answers).find(([begin]) => line.startsWith(begin))?.[1] ?? absent;
  };
}

describe("the Docker engine", () => {
  it("is used through the Compose plugin where there is one", async () => {
    const ask = asking({ "docker version": says("27.3.1\n"), "docker compose": says("v2.29.7\n") });
    expect(await findEngine(ask)).toEqual({
      engineVersion: "27.3.1",
      composeVersion: "2.29.7",
      standalone: false,
    });
  });

  it("is used through docker-compose otherwise", async () => {
    const ask = asking({
      "docker version": says("20.10.24+dfsg1\n"),
      "docker compose": fails("docker: 'compose' is not a docker command."),
      "docker-compose": says("1.29.2\n"),
    });
    expect(await findEngine(ask)).toEqual({
      engineVersion: "20.10.24+dfsg1",
      composeVersion: "1.29.2",
      standalone: true,
    });
  });

  it.each([
    ["absent", {}, /no docker on the PATH\. Install Docker Engine/],
    [
      "not running",
      { "docker version": fails("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.") },
      /engine does not answer \(Cannot connect.*start it/,
    ],
    [
      "forbidden",
      { "docker version": fails("permission denied while trying to connect to the Docker daemon socket") },
      /may not use Docker.*group docker/,
    ],
    ["too old", { "docker version": says("19.03.15\n") }, /Docker 19\.03\.15 is too old: expected 20\.10/],
    ["without compose", { "docker version": says("20.10.24\n") }, /install the Compose plugin/],
    [
      "with a compose that is too old",
      { "docker version": says("20.10.24\n"), "docker-compose": says("1.25.0\n") },
      /docker-compose 1\.25\.0 is too old: expected 1\.29/,
    ],
  ])("says what to do when it is %s", async (_, answers, message) => {
    await expect(findEngine(asking(answers as Record<string, Said>))).rejects.toMatchObject({
      code: "environment",
      message: expect.stringMatching(message),
    });
  });
});
