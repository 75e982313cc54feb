// Property tests draw other examples each time. Where a run must say the same twice, as in CI, a seed is named.
import { configureGlobal } from "fast-check";

const text = process.env.DOWNPOUR_PROPERTY_SEED;
if (text !== undefined) {
  const seed = Number(text);
  if (!Number.isSafeInteger(seed)) {
    throw new Error(`DOWNPOUR_PROPERTY_SEED=${text}: expected an integer`);
  }
  configureGlobal({ seed });
}
