/** The arguments and environment variables of `npm start`. All problems are reported together. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { defaultDataDir } from '#shared/runtime/config/local-stack.ts';
import { ConfigError, EnvReader, type Environment } from '#shared/runtime/config/env-reader.ts';

export type ModelSource = 'offline' | 'gemini-api' | 'vertex-ai' | 'custom-url';

export interface LocalOptions {
  /** Whether to start the infrastructure alone, for services that are run by hand. */
  infra: boolean;
  /** Whether to restart the workers when a file of the agent changes. */
  watch: boolean;
  /** Whether `longhaul dev` has started it, whose options the texts then name. */
  dev: boolean;
  /** The port of the API. 0: any free port. */
  port: number;
  /** The gRPC port of the API. Undefined: a free port next to `port`. */
  grpcPort: number | undefined;
  dataDir: string;
  /** The number of worker processes. */
  workers: number;
  project: string;
  model: ModelSource;
  /** The paths of the agent as YAML and as a module. */
  agentFile: string | undefined;
  agentModule: string | undefined;
  /** The ways in which callers must authenticate; empty: anyone may call. */
  authModes: readonly string[];
  /** If set, replaces the embedded PostgreSQL. */
  databaseUrl: string | undefined;
  /** If set, replaces the Pub/Sub emulator. */
  pubsubHost: string | undefined;
  /** If set, replaces the Cloud Tasks emulator. */
  cloudTasksHost: string | undefined;
  /** Whether the api serves the console. */
  console: boolean;
  debug: boolean;
}

export const usageText = `npm start              start everything on this machine: database, queues, model and services
npm start -- --watch   also restart the workers when a file of the agent changes
npm start -- --infra   start only the infrastructure, and print how to run the services yourself

Options, as environment variables (defaults in parentheses):

  PORT           port of the API; 0 for any free port (8080)
  GRPC_PORT      gRPC port of the API (a free port above PORT)
  DATA_DIR       directory for all data (.longhaul)
  WORKERS        number of worker processes, 0 to 100 (1)
  AGENT_FILE     YAML file that defines the agent
  AGENT_MODULE   JavaScript or TypeScript module that implements the agent
  CONSOLE        false: do not serve the console at /console/ (true)
  LOG_LEVEL      debug, info, warn, error or silent (info)

Instead of the offline model:

  GEMINI_API_KEY              use Gemini with this API key
  GOOGLE_GENAI_USE_VERTEXAI   true: use Gemini on Vertex AI; also set GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION
  GOOGLE_GEMINI_BASE_URL      use another server with the Gemini API

Instead of the embedded infrastructure:

  DATABASE_URL                use this PostgreSQL database
  PUBSUB_EMULATOR_HOST        use the Pub/Sub emulator at this host:port
  CLOUD_TASKS_EMULATOR_HOST   use the Cloud Tasks emulator at this host:port`;

/** @throws {ConfigError} for unknown arguments */
export function parseArguments(args: readonly string[]): {
  infra: boolean;
  watch: boolean;
  dev: boolean;
  help: boolean;
} {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        infra: { type: 'boolean', default: false },
        watch: { type: 'boolean', default: false },
        dev: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
      strict: true,
    });
    return values;
  } catch (error) {
    const [problem = ''] = (error as Error).message.split('. ');
    throw new ConfigError([`${problem}: expected --watch, --infra or --help`]);
  }
}

/** @throws {ConfigError} with all invalid values */
export function readOptions(
  { infra = false, watch = false, dev = false }: Partial<Pick<LocalOptions, 'infra' | 'watch' | 'dev'>>,
  environment: Environment,
): LocalOptions {
  const env = new EnvReader(environment);
  if (env.optional('K_SERVICE') !== undefined) {
    throw new ConfigError([
      'npm start is for one machine, but this is Cloud Run (K_SERVICE is set). Run a single service instead: npm run ' +
        'api, npm run worker or npm run dispatcher. With buildpacks, set GOOGLE_ENTRYPOINT to that command.',
    ]);
  }
  const databaseUrl = env.optional('DATABASE_URL');
  if (databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(databaseUrl)) {
    env.problem('DATABASE_URL must start with postgres:// or postgresql://');
  }
  for (const name of ['AGENT_FILE', 'AGENT_MODULE']) {
    const file = env.optional(name);
    if (file !== undefined && !existsSync(file)) {
      env.problem(`${name} must be the path of a file, but ${path.resolve(file)} does not exist`);
    }
  }
  const options: LocalOptions = {
    infra,
    watch,
    dev,
    port: env.number('PORT', 8080, { min: 0, max: 65_535 }),
    grpcPort: env.number('GRPC_PORT', 0, { min: 0, max: 65_535 }) || undefined,
    dataDir: path.resolve(env.optional('DATA_DIR') ?? defaultDataDir),
    workers: env.number('WORKERS', 1, { min: 0, max: 100 }),
    project: env.string('GOOGLE_CLOUD_PROJECT', 'longhaul-local'),
    model: readModelSource(env),
    agentFile: env.optional('AGENT_FILE'),
    agentModule: env.optional('AGENT_MODULE'),
    authModes: env.list('AUTH_MODES').filter((mode) => mode !== 'none'),
    databaseUrl,
    pubsubHost: readHost(env, 'PUBSUB_EMULATOR_HOST'),
    cloudTasksHost: readHost(env, 'CLOUD_TASKS_EMULATOR_HOST'),
    console: env.flag('CONSOLE', true),
    debug: env.oneOf('LOG_LEVEL', ['debug', 'info', 'warn', 'error', 'silent'], 'info') === 'debug',
  };
  if (options.port !== 0 && options.port === options.grpcPort) env.problem('PORT and GRPC_PORT must differ');
  env.check();
  return options;
}

function readModelSource(env: EnvReader): ModelSource {
  if (env.optional('GOOGLE_GEMINI_BASE_URL') !== undefined) {
    env.url('GOOGLE_GEMINI_BASE_URL');
    return 'custom-url';
  }
  if (env.flag('GOOGLE_GENAI_USE_VERTEXAI', false)) {
    if (env.optional('GOOGLE_CLOUD_PROJECT') !== undefined) return 'vertex-ai';
    env.problem('GOOGLE_GENAI_USE_VERTEXAI also needs GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION');
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
