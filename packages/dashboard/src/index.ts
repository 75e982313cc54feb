import { fileURLToPath } from "node:url";

/** Folder of the built page: static files, `index.html` among them. */
export const pageDirectory = fileURLToPath(new URL("./page", import.meta.url));
