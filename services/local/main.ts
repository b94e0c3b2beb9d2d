/**
 * `npm start` runs Longhaul on one machine, without any account or installed service. The infrastructure is
 * embedded, and the services run as separate processes, as in production.
 */
import { createInfraBanner, createServicesBanner } from './banner.ts';
import { formatFailure, getExitCode } from './failure.ts';
import { parseArguments, readOptions, usageText } from './options.ts';
import { createPrint } from './processes/log-output.ts';
import { runUntilSignal } from './processes/signals.ts';
import { Supervisor } from './processes/supervisor.ts';
import { startLocalStack } from './stack.ts';

try {
  const { help, infra, watch } = parseArguments(process.argv.slice(2));
  if (help) {
    console.log(usageText);
  } else {
    const options = readOptions({ infra, watch }, process.env);
    const print = createPrint(process.stdout, { color: !process.env['NO_COLOR'] });
    const supervisor = new Supervisor(print);
    await runUntilSignal(supervisor, print, async () => {
      const stack = await startLocalStack(options, process.env, supervisor, print);
      console.log(infra ? createInfraBanner(stack, options) : createServicesBanner(stack, options));
    });
  }
} catch (error) {
  process.exitCode = getExitCode(error);
  console.error(`\n${formatFailure(error, process.env['LOG_LEVEL'] === 'debug')}`);
}
