/** Preloaded into a measured process: reports its memory after a collection, and its CPU time, when its parent asks. */
process.on('message', () => {
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  process.send?.({ rss, held: heapUsed + external, cpuMs: (user + system) / 1000 });
});
process.channel?.unref();
