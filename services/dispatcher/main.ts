/** The dispatcher: delivers webhooks when Cloud Tasks calls it, and runs the loops that make up for lost bells. */
import { readDispatcherConfig } from '#shared/runtime/config.ts';
import { configOrExit, runService } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { startDispatcher } from './start.ts';

const config = configOrExit(() => readDispatcherConfig());
const log = createLogger('dispatcher', config.logLevel);
await runService(log, config.drainMs, () => startDispatcher(config, log));
