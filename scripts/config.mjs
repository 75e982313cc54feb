/** Only this file of the scripts reads the environment. */

/** `DOWNPOUR_VERBOSE`: show what the tools print, and where errors come from. */
export const isVerbose = Boolean(process.env.DOWNPOUR_VERBOSE);

/** The environment that the scripts hand on. */
export const environment = process.env;

/** Folder with the real data sets, for tests that need them. */
export const dataDirectory = process.env.DOWNPOUR_DATA_DIR;

/** Where the test reporter leaves its counts: set by scripts/test.mjs for the test runner. */
export const testCountsFile = process.env.DOWNPOUR_TEST_COUNTS_FILE;
