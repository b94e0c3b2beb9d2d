/** The api process: reads secrets and configuration, then runs the api service until it is stopped. */
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { armFaultPoint } from '#shared/runtime/fault-points.ts';
import { configOrExit, runService, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { startApi } from './service.ts';

const secrets = await secretsOrExit(() => openSecretVariables(environment));
const config = configOrExit(() => readApiConfig(secrets.env));
const log = createLogger('api', config.logLevel, config.telemetry.project);
armFaultPoint(config.faultPoint);

await runService(log, config.drainMs, () => startApi(config, secrets, log));
