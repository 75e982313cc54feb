const mebibyte = 1024 * 1024;

/** Bounds of a server, per apply thread where they say so. Tests set smaller ones. */
export interface ServerBounds {
  /** What one memory of WebAssembly may hold; slices that need more are spread over more apply threads. */
  readonly memoryBytesMax: number;
  /** An assignment that needs more apply threads is refused, with the numbers. */
  readonly applyThreadsMax: number;
  /**
   * Payloads of a thread that wait for it. A push beyond it waits, first come first served, and its stream is not
   * read on meanwhile; one that alone is larger is refused.
   */
  readonly stagingBytesMax: number;
  /**
   * Encoded slices of a thread that are on their way out. A pull beyond it waits, first come first served, until
   * others have gone to the transport.
   */
  readonly sendingBytesMax: number;
  /**
   * Versions of a slice that are kept for one member, for staleness policies: the base of its last push and what it
   * pulled since. The oldest goes first; a gradient computed on it is applied without compensation, and counted.
   */
  readonly pulledVersionsPerMemberMax: number;
  /** Payload of one answer to a pull; the next slices come in another. */
  readonly answerBytesMax: number;
}

/** The bounds that hold where none are given. */
export const serverBounds: ServerBounds = {
  memoryBytesMax: 65_534 * 65_536,
  applyThreadsMax: 64,
  stagingBytesMax: 64 * mebibyte,
  sendingBytesMax: 256 * mebibyte,
  pulledVersionsPerMemberMax: 4,
  answerBytesMax: 4 * mebibyte,
};
