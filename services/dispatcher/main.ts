/** The dispatcher process: reads secrets and configuration, then runs the dispatcher until it is stopped. */
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { armFaultPoint } from '#shared/runtime/fault-points.ts';
import { configOrExit, runService, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { startDispatcher } from './service.ts';

const secrets = await secretsOrExit(() => openSecretVariables(environment));
const config = configOrExit(() => readDispatcherConfig(secrets.env));
const log = createLogger('dispatcher', config.logLevel, config.telemetry.project);
armFaultPoint(config.faultPoint);

await runService(log, config.drainMs, () => startDispatcher(config, secrets, log));
