import { z } from "zod";

export const positiveInteger = z.number().int().min(1);
export const fraction = z.number().gt(0).lt(1);
