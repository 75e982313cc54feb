import { DownpourError } from "@downpour/errors";
import { describe, expect, it } from "vitest";
import { type Layout, LayoutFollower, placedSlices } from "./layout.ts";

const first: Layout = { revision: 1, rollback: 0, serverAddresses: ["a", "b"], slices: [] };

/** A follower whose coordinator gives these answers in turn; an error is thrown. */
function followerOf(...answers: (Partial<Layout> | DownpourError)[]) {
  const changes: [number, number][] = [];
  const asked: unknown[] = [];
  const call = async (_method: string, request: unknown) => {
    asked.push(request);
    const answer = answers.shift();
    if (answer instanceof DownpourError) throw answer;
    return { ...first, ...answer };
  };
  const follower = new LayoutFollower({
    coordinator: { call } as never,
    memberId: "worker-1",
    first,
    onChange: (now, before) => changes.push([before.revision, now.revision]),
  });
  return { follower, changes, asked };
}

describe("LayoutFollower", () => {
  it("takes a newer layout, and tells of it once", async () => {
    const { follower, changes } = followerOf(
      { revision: 3, serverAddresses: ["a", ""] },
      { revision: 3, serverAddresses: ["a", ""] },
    );
    await follower.refresh();
    await follower.refresh();
    expect(follower.current).toMatchObject({ revision: 3, serverAddresses: ["a", ""] });
    expect(changes).toEqual([[1, 3]]);
  });

  it("takes the address of a server that was missing, under the same revision", async () => {
    const { follower, changes } = followerOf(
      { revision: 2, serverAddresses: ["a", ""] },
      { revision: 2, serverAddresses: ["a", "c"] },
    );
    await follower.refresh();
    await follower.refresh();
    expect(follower.current.serverAddresses).toEqual(["a", "c"]);
    expect(changes).toEqual([
      [1, 2],
      [2, 2],
    ]);
  });

  it("leaves an older layout alone", async () => {
    const { follower, changes } = followerOf({ revision: 0, serverAddresses: [] });
    await follower.refresh();
    expect(follower.current).toBe(first);
    expect(changes).toEqual([]);
  });

  it("asks only when it hears of a newer revision, and once for several who ask", async () => {
    const { follower, asked } = followerOf({ revision: 2 });
    follower.heard(1);
    expect(asked).toEqual([]);
    follower.heard(2);
    await Promise.all([follower.refresh(), follower.refresh()]);
    expect(asked).toEqual([{ memberId: "worker-1" }]);
    expect(follower.current.revision).toBe(2);
  });

  it("keeps what it has while the coordinator is away, and asks again later", async () => {
    const away = new DownpourError("unavailable", "no connection");
    const { follower } = followerOf(away, { revision: 2 });
    await follower.refresh();
    expect(follower.current).toBe(first);
    await follower.refresh();
    expect(follower.current.revision).toBe(2);
  });

  it("throws that the coordinator does not know the member", async () => {
    const { follower } = followerOf(new DownpourError("unknownMember", "join first"));
    await expect(follower.refresh()).rejects.toMatchObject({ code: "unknownMember" });
  });
});

describe("placedSlices", () => {
  it("has range, term and server of each slice", () => {
    const slice = { sliceIndex: 0, offset: 0, length: 16, term: 4 };
    expect(placedSlices([{ slice, serverIndex: 1 }])).toEqual([{ ...slice, serverIndex: 1 }]);
  });

  it("refuses an entry without a slice", () => {
    expect(() => placedSlices([{ slice: null, serverIndex: 1 }])).toThrow("without a slice");
  });
});
