import { describe, expect, it } from "vitest";
import { TaskClock, taskText } from "./task-text.ts";

const fetching = { what: "fetching a", done: 6e6, total: 10e6, unit: "bytes" } as const;

describe("the line of a task", () => {
  it("has a bar, the share and the amount", () => {
    expect(taskText(fetching, 200)).toBe(
      `fetching a  ${"█".repeat(14)}${"░".repeat(10)}   60 %  6.0 of 10.0 MB`,
    );
  });

  it("has the amount alone where nobody knows the total", () => {
    expect(taskText({ what: "reading", done: 1200, unit: "images" }, 200)).toBe("reading  1,200 images");
  });

  it("is cut to the terminal's width", () => {
    expect(taskText(fetching, 20)).toHaveLength(20);
  });

  it("never shows more than everything", () => {
    expect(taskText({ ...fetching, done: 11e6 }, 200)).toContain(`${"█".repeat(24)}  100 %`);
  });
});

describe("the clock of tasks", () => {
  it("speaks after two seconds, then as often as asked, and anew for the next task", () => {
    const clock = new TaskClock(1000);
    const due = (ms: number, what = "a") => clock.isDue({ ...fetching, what }, ms);
    expect([due(0), due(1999), due(2000), due(2500), due(3000)]).toEqual([false, false, true, false, true]);
    expect([due(3000, "b"), due(4999, "b"), due(5000, "b")]).toEqual([false, false, true]);
  });
});
