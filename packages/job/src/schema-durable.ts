import { z } from "zod";
import { positiveInteger } from "./schema-numbers.ts";

/* The keys of a job file about what survives its processes. */

const natsServer = z
  .string()
  .regex(
    /^(nats:\/\/|tls:\/\/)?[^\s@/]+:\d{1,5}$/,
    "expected host:port, without user and password: certificates and the token say who connects",
  );

export const nats = z.strictObject({
  servers: z
    .array(natsServer)
    .min(1)
    .default(["127.0.0.1:4222"])
    .describe("host:port of the NATS server, or of the nodes of its cluster."),
  replicas: z
    .union([z.literal(1), z.literal(3)])
    .default(1)
    .describe("Nodes that keep a copy of state and events: 3 survive the loss of one."),
});

export const checkpoint = z.strictObject({
  uri: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Folder of the checkpoints, under which coordinator and servers all reach it; `checkpoints` in the run directory " +
        "where it is left out.",
    ),
  everySeconds: z
    .number()
    .min(0)
    .max(86_400)
    .default(60)
    .describe("Time between two checkpoints; 0 writes none by the clock."),
  megabytesPerSecond: z
    .number()
    .min(0)
    .max(1_000_000)
    .default(16)
    .describe(
      "Each server writes no faster than this while training goes on, so that it goes on as fast; 0: as fast as can be.",
    ),
  keepLast: positiveInteger.max(1000).default(2).describe("The newest so many stay."),
  keepBest: z
    .number()
    .int()
    .min(0)
    .max(1000)
    .default(1)
    .describe("Besides, the best so many by evaluation.monitor, of those with validation figures."),
});
