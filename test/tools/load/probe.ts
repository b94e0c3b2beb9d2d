/** Preloaded into a measured worker: reports its memory and event loop delay to the parent process on request. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const delay = monitorEventLoopDelay({ resolution: 10 });
delay.enable();

process.on('message', () => {
  process.send?.({
    // maxRSS is in kilobytes.
    peakRssMb: process.resourceUsage().maxRSS / 1024,
    // The delays include the 10 ms of the timer that measures them.
    delayP99Ms: delay.percentile(99) / 1e6 - 10,
    delayMaxMs: delay.max / 1e6 - 10,
  });
});
process.channel?.unref();
