/** Preloaded into a measured process: tells its parent, when asked, what memory it holds after a collection. */
process.on('message', () => {
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  process.send?.({ rss, held: heapUsed + external, cpuMs: (user + system) / 1000 });
});
process.channel?.unref();
