import { describe, expect, it } from "vitest";
import { composeTrouble, containerTrouble } from "./diagnosis.ts";

const worker = {
  name: "downpour_worker_1",
  service: "worker",
  exitCode: 1,
  outOfMemory: false,
  memoryLimitBytes: 4 * 2 ** 30,
};

describe("what is said of a container that failed", () => {
  it("names the limit that it hit when memory ran out, and how to raise it", () => {
    const container = { ...worker, exitCode: 137, outOfMemory: true };
    expect(containerTrouble({ container, lines: [] })).toMatch(
      /^downpour_worker_1 was killed: it needed more than its limit of 4096 MiB\. Raise DOWNPOUR_WORKER_MEMORY/,
    );
    const server = { ...container, service: "server-2" };
    expect(containerTrouble({ container: server, lines: [] })).toContain("DOWNPOUR_SERVER_MEMORY");
  });

  it("tells a kill from the outside from that", () => {
    expect(containerTrouble({ container: { ...worker, exitCode: 137 }, lines: [] })).toMatch(
      /was killed \(status 137\)/,
    );
  });

  it("says what a wrong token means", () => {
    const lines = [
      '{"level":30,"msg":"starting"}',
      '{"level":50,"msg":"GetJob: the cluster asks for a join token, and this call brought another one"}',
    ];
    expect(containerTrouble({ container: worker, lines })).toMatch(
      /^downpour_worker_1: GetJob: the cluster.*brought another one\. Its token is another one than the coordinator's/,
    );
  });

  it("says that the job file is not seen, and where it is to lie", () => {
    const container = { ...worker, name: "downpour_coordinator_1", service: "coordinator", exitCode: 2 };
    const lines = [
      "the job file is not visible in this container: set DOWNPOUR_JOB to a file of the Docker host",
    ];
    expect(containerTrouble({ container, lines })).toMatch(
      /Docker runs on another machine.*put the job file there/,
    );
  });

  it("says what to do about a volume without permission", () => {
    const lines = [
      "the volume of /runs can't be written by user 1000; give it to that user, or remove the volume",
    ];
    expect(containerTrouble({ container: worker, lines })).toMatch(
      /A volume is without permission for user 1000/,
    );
  });

  it("quotes the error that people were shown, before anything in the log", () => {
    const lines = [
      '{"level":50,"msg":"inside"}',
      "error: mnist needs the file train-images, which is not in /data",
    ];
    expect(containerTrouble({ container: worker, lines })).toMatch(
      /^downpour_worker_1: mnist needs the file train-images.*downpour up --data-dir/,
    );
  });

  it("says the last line where it knows no more", () => {
    expect(containerTrouble({ container: worker, lines: ["boom"] })).toBe(
      "downpour_worker_1 ended with status 1: boom",
    );
    expect(containerTrouble({ container: worker, lines: [] })).toContain("it left no log");
  });
});

describe("what is said when compose failed", () => {
  it("names the port that is in use, and the option for another one", () => {
    const output =
      "ERROR: for coordinator  Cannot start service coordinator: driver failed programming external connectivity on endpoint " +
      "downpour_coordinator_1 (5f): Bind for 127.0.0.1:7070 failed: port is already allocated";
    expect(composeTrouble(output)).toBe(
      "port 7070 is in use (wanted by coordinator): end what uses it, or choose another one with --port (DOWNPOUR_PORT)",
    );
    const process =
      "Error response from daemon: driver failed programming external connectivity on endpoint m-prometheus-1 (1): Error " +
      "starting userland proxy: listen tcp4 127.0.0.1:9090: bind: address already in use";
    expect(composeTrouble(process)).toMatch(
      /^port 9090 is in use \(wanted by m-prometheus-1\).*DOWNPOUR_PROMETHEUS_PORT/,
    );
  });

  it("tells a registry that is not reached from a full disk", () => {
    expect(composeTrouble("pull access denied for nats, repository does not exist")).toMatch(
      /can't be fetched.*extra-ca/s,
    );
    expect(composeTrouble("write /var/lib/docker: no space left on device")).toMatch(
      /disk of the Docker engine is full/,
    );
  });

  it("gives the last lines of anything else", () => {
    expect(composeTrouble("one\ntwo\n\nthree\nfour\n")).toBe("two\nthree\nfour");
    expect(composeTrouble("\n")).toBe("compose failed without a word");
  });
});
