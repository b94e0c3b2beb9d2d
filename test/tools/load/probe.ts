/** Preloaded into a measured worker: tells its parent, when asked, what it took so far. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const delay = monitorEventLoopDelay({ resolution: 10 });
delay.enable();

process.on('message', () => {
  process.send?.({
    // Kilobytes.
    peakRssMb: process.resourceUsage().maxRSS / 1024,
    // Each is measured by a timer of 10 ms, which is in it.
    delayP99Ms: delay.percentile(99) / 1e6 - 10,
    delayMaxMs: delay.max / 1e6 - 10,
  });
});
process.channel?.unref();
