import { z } from "zod";

/** Port of the live page where the job file names none and it is free. */
export const defaultPagePort = 4747;

/** Section `dashboard` of a job file. */
export const dashboard = z.strictObject({
  enabled: z.boolean().default(true).describe("Whether the coordinator serves the live page."),
  host: z
    .string()
    .min(1)
    .default("127.0.0.1")
    .describe(
      "Address that the live page listens on. On loopback it is open to everybody on the machine; any other address " +
        "needs certificates, and whoever looks needs the cluster's join token.",
    ),
  port: z
    .number()
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .describe(
      `Port of the live page, which must be free; where it is left out, ${defaultPagePort}, or any free one when that is in use.`,
    ),
});
