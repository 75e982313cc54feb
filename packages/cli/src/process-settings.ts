/*
 * Messages of some MiB are buffers outside of V8's heap, some thousand of them a second. Two settings decide what
 * they cost; together they are a factor of three in the throughput of the wire. A third one is for code that runs a few
 * times a second only. bin/downpour has the same for roles that are started by hand.
 */

export const nodeFlags: readonly string[] = [
  // Buffers count towards the limit of V8's heap, which begins so low that every few of them cause a full collection.
  // It begins at so many MiB instead.
  "--initial-old-space-size=256",
  // V8 waits some calls before it learns what a function works on. A worker with large steps makes few calls: the first
  // 300 exchanges with a server took a third more CPU time.
  "--no-lazy-feedback-allocation",
];

/**
 * glibc gives freed memory back to the kernel, which clears every page before it hands it out again. It keeps it
 * instead, for the next buffer; other C libraries take no notice.
 */
export const memoryVariables: Readonly<Record<string, string>> = {
  MALLOC_MMAP_THRESHOLD_: String(32 * 1024 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(1024 * 1024 * 1024),
  MALLOC_TOP_PAD_: String(64 * 1024 * 1024),
};
