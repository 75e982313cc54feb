import type { DeviceReport } from "@downpour/worker";
import { describe, expect, it } from "vitest";
import { diagnose } from "./doctor.ts";

const node = { name: "Node.js", ok: true, found: "20.20.2", needed: "20, 22 or 24", fix: "" };
const compiler = { name: "C++ compiler", ok: true, found: "g++", needed: "C++17", fix: "" };

const portable: DeviceReport = {
  device: "portable",
  available: true,
  automatic: true,
  detail: "WebAssembly",
};
const cpu: DeviceReport = { device: "cpu", available: true, automatic: true, detail: "linked" };
const noCpu: DeviceReport = {
  device: "cpu",
  available: false,
  automatic: false,
  detail: "not linked",
  fix: "set it up",
};

const text = (lines: readonly string[]) => lines.join("\n");

describe("diagnose", () => {
  it("is well without a compiler, since the portable device works, and says what cpu lacks", () => {
    const lacking = { ...compiler, ok: false, found: "none", fix: "apt-get\nor dnf" };
    const { summary, lines } = diagnose({
      checks: [node, lacking],
      devices: [noCpu, portable],
      bfloat16: false,
    });
    expect(summary).toMatchObject({ ok: true, device: "portable", bfloat16: false });
    expect(text(lines)).toMatch(
      /C\+\+ compiler: none\n +needed, for cpu and cuda: C\+\+17\n +get it: apt-get\n +or dnf/,
    );
    expect(text(lines)).toMatch(/cpu: not linked\n +get it: set it up/);
    expect(text(lines)).toContain("A worker would use: portable");
  });

  it("names the device that a worker would use", () => {
    const { summary } = diagnose({ checks: [node], devices: [cpu, portable], bfloat16: true });
    expect(summary).toMatchObject({ ok: true, device: "cpu" });
  });

  it("fails on a Node that nothing runs on", () => {
    const old = { ...node, ok: false, found: "18.0.0", fix: "Install Node 22" };
    const { summary, lines } = diagnose({ checks: [old], devices: [portable], bfloat16: undefined });
    expect(summary).toMatchObject({ ok: false, device: null, bfloat16: null });
    expect(text(lines)).toContain("A worker can't run here");
  });

  it("says unknown where the processor does not tell", () => {
    const { lines } = diagnose({ checks: [node], devices: [portable], bfloat16: undefined });
    expect(text(lines)).toMatch(/bf16: unknown/);
  });
});
