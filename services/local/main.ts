/**
 * `npm start` runs Longhaul on one machine, without any account or installed service. The infrastructure is
 * embedded, and the services run as separate processes, as in production.
 */
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import { createInfraBanner, createServicesBanner } from './banner.ts';
import { formatFailure, getExitCode } from './failure.ts';
import { parseArguments, readOptions, usageText, type LocalOptions } from './options.ts';
import { createLogFile } from './processes/log-file.ts';
import { createPrint, type Print } from './processes/log-output.ts';
import { runUntilSignal } from './processes/signals.ts';
import { Supervisor } from './processes/supervisor.ts';
import { startLocalStack } from './stack.ts';

try {
  const { help, ...args } = parseArguments(process.argv.slice(2));
  if (help) {
    console.log(usageText);
  } else {
    const options = readOptions(args, process.env);
    const printOnScreen = createPrint(process.stdout, { color: !process.env['NO_COLOR'] });
    const keep = createLogFile(options.dataDir);
    const print: Print = (service, entry) => {
      printOnScreen(service, entry);
      keep(service, entry);
    };
    const supervisor = new Supervisor(print);
    await runUntilSignal(supervisor, print, async () => {
      const stack = await startLocalStack(options, process.env, supervisor, print);
      const createBanner = options.infra ? createInfraBanner : createServicesBanner;
      console.log(createBanner(stack, options, await usesModel(options)));
    }).catch((error: unknown) => {
      keep('local', { severity: 'ERROR', message: formatFailure(error, options.debug) });
      throw error;
    });
  }
} catch (error) {
  process.exitCode = getExitCode(error);
  console.error(`\n${formatFailure(error, process.env['LOG_LEVEL'] === 'debug')}`);
}

/** A definition that cannot be read has been reported by the services. */
async function usesModel(options: LocalOptions): Promise<boolean> {
  if (options.agentModule !== undefined) return true;
  const definition = await loadAgentDefinition(options.agentFile).catch(() => undefined);
  return definition?.a2a === undefined;
}
