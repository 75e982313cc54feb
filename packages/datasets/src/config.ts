/** Folder with real data files for the tests that want them; undefined where there is none. */
export const realDataDirectory: string | undefined = process.env.DOWNPOUR_DATA_DIR || undefined;
