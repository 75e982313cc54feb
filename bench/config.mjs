/* The one place of the benchmarks that reads the environment. */

/** The environment of a program: this one's, and more. @param {Record<string, string>} more */
export function environmentWith(more) {
  return { ...process.env, ...more };
}
