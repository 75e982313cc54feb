/**
 * A signal that aborts on SIGINT, SIGTERM, or when the launcher that started this process is gone: no role
 * outlives its launcher.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = () => controller.abort();
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  process.on("disconnect", stop);
  // Listening to the launcher must not keep a process alive whose work is done.
  process.channel?.unref();
  // Started by a launcher that is gone already.
  if (process.send !== undefined && !process.connected) controller.abort();
  return controller.signal;
}
