import { describeJobStore } from "./job-store.test.suite.ts";
import { MemoryJobStore } from "./memory-job-store.ts";

describeJobStore("MemoryJobStore", async () => ({ store: new MemoryJobStore() }));
