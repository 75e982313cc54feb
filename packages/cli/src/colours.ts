import pc from "picocolors";
import { wantsColours } from "./config.ts";

/** Colours of what goes to standard error: plain where that is no terminal, or NO_COLOR is set. */
export const stderrColours = pc.createColors(wantsColours(process.stderr));

/** The same for standard output. */
export const stdoutColours = pc.createColors(wantsColours(process.stdout));
