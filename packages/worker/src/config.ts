/*
 * Every environment variable that the worker process reads or sets. TensorFlow reads its own when its library
 * is loaded, from the environment of the process, so they are set on the main thread before the import.
 */

/** Quiets TensorFlow and gives it its threads, unless the environment says otherwise. */
export function configureTensorflow(threads: number): void {
  const { env } = process;
  env.TF_CPP_MIN_LOG_LEVEL ??= "2";
  // One worker per core with one thread each is faster on a CPU than one worker with many threads. Both
  // variables count: the first bounds one op, the second how many ops run beside each other.
  env.TF_NUM_INTRAOP_THREADS ??= String(threads);
  env.TF_NUM_INTEROP_THREADS ??= "1";
}
