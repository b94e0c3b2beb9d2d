/**
 * `npm start`: Longhaul on one machine, without any account or installed service. Stand-ins are embedded; the services run
 * as they do in production, as processes of their own.
 */
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { infraBanner, servicesBanner } from './banner.ts';
import { createPrint } from './processes/log-output.ts';
import { readOptions, usageText } from './options.ts';
import { runUntilSignal } from './processes/signals.ts';
import { startLocalStack } from './stack.ts';
import { StartError, Supervisor } from './processes/supervisor.ts';

const print = createPrint(process.stdout);

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options.help) {
    console.log(usageText);
  } else {
    const supervisor = new Supervisor(print);
    await runUntilSignal(supervisor, print, async () => {
      const stack = await startLocalStack(options, process.env, supervisor, print);
      console.log(options.infra ? infraBanner(stack, options) : servicesBanner(stack, options));
    });
  }
} catch (error) {
  process.exitCode = 1;
  if (error instanceof StartError) {
    const lines = error.lines.map((line) => `  | ${line}`).join('\n');
    console.error(
      `\nLonghaul did not start: ${error.message}${lines === '' ? '' : `. The last it said:\n${lines}`}`,
    );
  } else if (error instanceof ConfigError) {
    console.error(`\n${error.problems.map((problem) => `Longhaul did not start: ${problem}`).join('\n')}`);
  } else {
    console.error('\nLonghaul did not start:', error instanceof Error ? error.message : error);
    if (process.env['LOG_LEVEL'] === 'debug') console.error(error);
  }
}
