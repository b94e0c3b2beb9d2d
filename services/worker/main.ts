/** The worker process: reads secrets and configuration, then runs the worker until it is stopped. */
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { readWorkerConfig } from '#shared/runtime/config/worker.ts';
import { armFaultPoint } from '#shared/runtime/fault-points.ts';
import { configOrExit, runService, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { startWorker } from './service.ts';

const secrets = await secretsOrExit(() => openSecretVariables(environment));
const config = configOrExit(() => readWorkerConfig(secrets.env));
const log = createLogger('worker', config.logLevel, config.telemetry.project);
armFaultPoint(config.faultPoint);

await runService(log, config.drainMs, () => startWorker(config, secrets, log));
