import { expect, test } from "vitest";
import * as api from "./index.ts";

// A change here is a change of the public API: say so in the changelog.
test("the package exports these names and no others", () => {
  expect(Object.keys(api).sort()).toEqual(["defineJob", "launch", "main"]);
});
