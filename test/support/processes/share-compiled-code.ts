/**
 * Preloaded into processes of tests: stores their compiled code in the cache of the run while they run. Node.js does so
 * when a process exits, but most processes of tests are killed.
 */
import { flushCompileCache } from 'node:module';

for (const afterMs of [1_500, 5_000]) setTimeout(flushCompileCache, afterMs).unref();
