/** What a person may say to `npm start`: arguments and environment variables, checked, all problems told at once. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ConfigError, EnvReader, type Environment } from '#shared/runtime/config/env-reader.ts';

export type ModelSource = 'offline' | 'gemini-api' | 'vertex-ai' | 'own-address';

export interface LocalOptions {
  /** The stand-ins alone; the services are run by hand. */
  infra: boolean;
  help: boolean;
  /** Of the front door; 0: a free one. */
  port: number;
  dataDir: string;
  workers: number;
  project: string;
  model: ModelSource;
  /** Set: used instead of a stand-in. */
  databaseUrl: string | undefined;
  pubsubHost: string | undefined;
  cloudTasksHost: string | undefined;
  debug: boolean;
}

export const usageText = `npm start                      everything on this machine: database, queues, model, services
npm start -- --infra           only what the services need; then run them by hand

  PORT           of the front door (8080)
  DATA_DIR       where data live (.longhaul)
  WORKERS        worker processes, 0 or more (1)
  AGENT_FILE     the agent, as YAML
  AGENT_MODULE   the agent, as a module
  GEMINI_API_KEY, or GOOGLE_GENAI_USE_VERTEXAI with GOOGLE_CLOUD_PROJECT: real Gemini instead of the offline model
  DATABASE_URL, PUBSUB_EMULATOR_HOST, CLOUD_TASKS_EMULATOR_HOST, GOOGLE_GEMINI_BASE_URL: used instead of a stand-in`;

const projectDir = fileURLToPath(new URL('../..', import.meta.url));

/** @throws {ConfigError} naming everything that is wrong */
export function readOptions(args: readonly string[], environment: Environment): LocalOptions {
  const { infra, help } = readArguments(args);
  const env = new EnvReader(environment);
  if (env.optional('K_SERVICE') !== undefined) {
    throw new ConfigError([
      'this is Cloud Run (K_SERVICE is set), and npm start is for one machine: run one service instead ' +
        '(npm run api, npm run worker or npm run dispatcher; with buildpacks set GOOGLE_ENTRYPOINT to that)',
    ]);
  }
  const databaseUrl = env.optional('DATABASE_URL');
  if (databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(databaseUrl)) {
    env.problem('DATABASE_URL must begin with postgres:// or postgresql://');
  }
  for (const name of ['AGENT_FILE', 'AGENT_MODULE']) {
    const file = env.optional(name);
    if (file !== undefined && !existsSync(file))
      env.problem(`${name}: there is no file ${path.resolve(file)}`);
  }
  const options: LocalOptions = {
    infra,
    help,
    port: env.number('PORT', 8080, { min: 0, max: 65_535 }),
    dataDir: path.resolve(env.optional('DATA_DIR') ?? path.join(projectDir, '.longhaul')),
    workers: env.number('WORKERS', 1, { min: 0, max: 100 }),
    project: env.string('GOOGLE_CLOUD_PROJECT', 'longhaul-local'),
    model: readModel(env),
    databaseUrl,
    pubsubHost: readHost(env, 'PUBSUB_EMULATOR_HOST'),
    cloudTasksHost: readHost(env, 'CLOUD_TASKS_EMULATOR_HOST'),
    debug: env.oneOf('LOG_LEVEL', ['debug', 'info', 'warn', 'error', 'silent'], 'info') === 'debug',
  };
  env.check();
  return options;
}

function readArguments(args: readonly string[]): { infra: boolean; help: boolean } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { infra: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
      strict: true,
    });
    return values;
  } catch (error) {
    const [problem = ''] = (error as Error).message.split('. ');
    throw new ConfigError([`${problem}; known are --infra and --help`]);
  }
}

function readModel(env: EnvReader): ModelSource {
  if (env.optional('GOOGLE_GEMINI_BASE_URL') !== undefined) {
    env.url('GOOGLE_GEMINI_BASE_URL');
    return 'own-address';
  }
  if (env.flag('GOOGLE_GENAI_USE_VERTEXAI', false)) {
    if (env.optional('GOOGLE_CLOUD_PROJECT') !== undefined) return 'vertex-ai';
    env.problem('GOOGLE_GENAI_USE_VERTEXAI needs GOOGLE_CLOUD_PROJECT (and GOOGLE_CLOUD_LOCATION)');
  }
  return (env.optional('GEMINI_API_KEY') ?? env.optional('GOOGLE_API_KEY')) ? 'gemini-api' : 'offline';
}

function readHost(env: EnvReader, name: string): string | undefined {
  const host = env.optional(name);
  if (host !== undefined && !/^[^\s/:]+:\d{1,5}$/.test(host)) {
    env.problem(`${name} must be host:port, not "${host}"`);
  }
  return host;
}
