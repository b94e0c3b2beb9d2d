/**
 * docs/operate/configuration.md matches the code. The configuration readers run with a recording EnvReader, in enough environments
 * to reach every branch, so that each variable is known with its default, bounds, choices and services.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { describe, mock, test } from 'node:test';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import { ConfigError, EnvReader, type Environment } from '#shared/runtime/config/env-reader.ts';
import {
  readAdminConfig,
  readEncryptionConfig,
  readLimitsConfig,
  readMigrateConfig,
} from '#shared/runtime/config/operator.ts';
import { readWorkerConfig } from '#shared/runtime/config/worker.ts';
import { readOptions } from '#services/local/options.ts';

const page = readFileSync(new URL('../../../docs/operate/configuration.md', import.meta.url), 'utf8');

const databases: Environment[] = [
  {},
  { DATABASE_HOST: 'host', DATABASE_SSL: 'verify-ca' },
  { DATABASE_HOST: 'host', DATABASE_AUTH: 'iam' },
];
const { privateKey } = generateKeyPairSync('ed25519');
const WEBHOOK_SIGNING_KEYS = JSON.stringify({
  keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'k' }],
});

/** Each service with its reader and the environments that reach all of its branches. */
const services: Record<string, [read: (env: Environment) => unknown, environments: Environment[]]> = {
  api: [
    readApiConfig,
    [
      ...databases,
      ...['api-key', 'jwt', 'cloud-run-iam', 'google-oauth'].map((AUTH_MODES) => ({ AUTH_MODES })),
      { AUTH_MODES: 'jwt', JWT_ISSUERS: '[]' },
      { API_BINDINGS: 'grpc' },
    ],
  ],
  worker: [
    readWorkerConfig,
    [
      ...databases,
      { PUBLIC_URL: 'http://localhost:8080' },
      { AUTH_MODES: 'jwt' },
      ...['none', 'iam', 'verify'].map((CALLER_AUTH) => ({ WORKER_MODE: 'push', CALLER_AUTH })),
    ],
  ],
  dispatcher: [
    readDispatcherConfig,
    [
      ...databases,
      { WEBHOOK_SIGNING_KEYS },
      ...['none', 'iam', 'verify'].map((CALLER_AUTH) => ({ CALLER_AUTH })),
    ],
  ],
  migrate: [readMigrateConfig, databases],
  admin: [
    (env) => {
      unlessRefused(() => readAdminConfig(env));
      readLimitsConfig(env);
      readEncryptionConfig(env);
    },
    [...databases, { AUTH_MODES: 'jwt' }],
  ],
  local: [(env) => readOptions({}, env), [{}, { GOOGLE_GENAI_USE_VERTEXAI: 'true' }]],
};

interface Variable {
  services: Set<string>;
  /** Defaults as text; a variable may have one for each service or mode. */
  defaults: Set<string>;
  /** Bounds and choices as the page has them; empty if the reader has none. */
  values: Set<string>;
}

/** Defaults that are not arguments of a reader's call. */
const derivedDefaults: Record<string, () => string> = {
  WEBHOOK_SCHEDULE_SECONDS: () => {
    const env = {
      WEBHOOK_SIGNING_KEYS,
      PUBLIC_URL: 'http://localhost',
      DATABASE_URL: 'postgres://localhost/x',
      GOOGLE_CLOUD_PROJECT: 'x',
      DISPATCHER_URL: 'http://localhost',
      CLOUD_TASKS_EMULATOR_HOST: 'localhost:1',
      ENCRYPTION_KEYS: `k:${Buffer.alloc(32).toString('base64')}`,
    };
    return readDispatcherConfig(env).webhook.scheduleSeconds.join(',');
  },
  A2A_VERSIONS: () => '1.0,0.3',
  DATA_DIR: () => path.relative(path.join(import.meta.dirname, '../../..'), readOptions({}, {}).dataDir),
};

function unlessRefused(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
}

/** Returns the variables that the configuration readers of these services read. */
function recordVariables(names: readonly string[]): Map<string, Variable> {
  const found = new Map<string, Variable>();
  let service = '';
  const note = (name: string, fallback?: string | number | boolean, values?: string): void => {
    const empty = { services: new Set<string>(), defaults: new Set<string>(), values: new Set<string>() };
    const variable = found.get(name) ?? empty;
    found.set(name, variable);
    variable.services.add(service);
    if (fallback !== undefined) variable.defaults.add(`${fallback}`);
    if (values !== undefined) variable.values.add(values);
  };
  const { prototype } = EnvReader;
  const spied = <K extends 'optional' | 'string' | 'number' | 'oneOf' | 'flag'>(
    method: K,
    record: (...args: Parameters<EnvReader[K]>) => void,
  ) => {
    const original = Reflect.get(prototype, method) as (...args: unknown[]) => unknown;
    return mock.method(prototype, method, function (this: EnvReader, ...args: unknown[]) {
      record(...(args as Parameters<EnvReader[K]>));
      return original.apply(this, args);
    } as never);
  };
  const flags = new Set<string>();
  const spies = [
    spied('optional', (name) => note(name)),
    spied('string', (name, fallback) => note(name, fallback)),
    spied('number', (name, fallback, { min, max }) => note(name, fallback, `${min} to ${max}`)),
    spied('oneOf', (name, choices, fallback) =>
      note(name, fallback, flags.has(name) ? 'flag' : choices.join(', ')),
    ),
    spied('flag', (name) => flags.add(name)),
  ];
  try {
    for (service of names) {
      const [read, environments] = services[service] ?? assert.fail(service);
      for (const env of environments) unlessRefused(() => read(env));
    }
  } finally {
    for (const spy of spies) spy.mock.restore();
  }
  const workerName = found.get('WORKER_NAME');
  const ownName = [...(workerName?.defaults ?? [])].find((name) =>
    name.startsWith(`${hostname()}:${process.pid}:`),
  );
  if (ownName !== undefined && workerName?.defaults.delete(ownName))
    workerName.defaults.add('host:pid:random');
  return found;
}

interface Row {
  variables: string[];
  defaults: string[];
  values: string;
  services: string[];
}

function parseRows(text: string): Row[] {
  return text
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => cells.length === 7 && cells[1]?.startsWith('`'))
    .map(([, names = '', fallback = '', values = '', used = '']) => ({
      variables: parseQuoted(names),
      defaults: parseQuoted(fallback),
      values,
      services: used
        .split(', ')
        .flatMap((service) => (service === 'all' ? ['api', 'worker', 'dispatcher'] : [service])),
    }));
}

function parseQuoted(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);
}

/** Returns each difference between a page and the code as a sentence. */
function findDifferences(text: string, known: Map<string, Variable>): string[] {
  const rows = parseRows(text);
  const documented = rows.flatMap(({ variables }) => variables);
  const problems = [
    ...[...known.keys()].filter((name) => !documented.includes(name)).map((name) => `${name} is missing`),
    ...documented.filter((name) => !known.has(name)).map((name) => `${name} is not read`),
    ...documented
      .filter((name, at) => documented.indexOf(name) < at)
      .map((name) => `${name} is listed twice`),
  ];
  for (const { variables, defaults, values, services: used } of rows) {
    const [name = ''] = variables;
    const variable = known.get(name);
    if (variable === undefined) continue;
    const derived = derivedDefaults[name]?.();
    const expected = derived === undefined ? [...variable.defaults] : [derived];
    if (defaults.toSorted().join() !== expected.toSorted().join()) {
      problems.push(`${name} has the default ${expected.join(' or ') || 'of none'}, not ${defaults.join()}`);
    }
    for (const bound of variable.values) {
      if (bound !== values) problems.push(`${name} accepts ${bound}, not ${values}`);
    }
    const strange = used.filter((service) => !variable.services.has(service));
    if (strange.length > 0) problems.push(`${name} is not read by ${strange.join()}`);
    const onlyReader = variable.services.size === 1;
    if (onlyReader && used.length !== 1) problems.push(`${name} is read by one service`);
  }
  return problems;
}

const [servicesPart = '', localPart = ''] = page.split('## `npm start`');
const ofServices = recordVariables(['api', 'worker', 'dispatcher', 'migrate', 'admin']);
const ofLocal = recordVariables(['local']);

describe('docs/operate/configuration.md', () => {
  test('has every variable of the services with its default, values and services', () => {
    assert.ok(ofServices.size > 90, `${ofServices.size} variables`);
    assert.deepEqual(findDifferences(servicesPart, ofServices), []);
  });

  test('has every variable of the local stack with its default and values', () => {
    assert.deepEqual(findDifferences(localPart, ofLocal), []);
  });
});

describe('the comparison', () => {
  const change = (from: string | RegExp, to: string): string[] => {
    const changed = servicesPart.replace(from, to);
    assert.notEqual(changed, servicesPart);
    return findDifferences(changed, ofServices);
  };

  test('reports a variable that the page lacks', () => {
    assert.deepEqual(change(/^\| `LEASE_SECONDS`.*\n/m, ''), ['LEASE_SECONDS is missing']);
  });

  test('reports a variable that nothing reads', () => {
    assert.deepEqual(change('| `HOST` |', '| `HOST`, `HOST_NAME` |'), ['HOST_NAME is not read']);
  });

  test('reports a wrong default, wrong bounds and a wrong service', () => {
    assert.deepEqual(change('| `MAX_ATTEMPTS` | `5` |', '| `MAX_ATTEMPTS` | `6` |'), [
      'MAX_ATTEMPTS has the default 5, not 6',
    ]);
    assert.deepEqual(change('`5` | 1 to 100 | worker |', '`5` | 1 to 200 | worker |'), [
      'MAX_ATTEMPTS accepts 1 to 100, not 1 to 200',
    ]);
    assert.deepEqual(change('`5` | 1 to 100 | worker |', '`5` | 1 to 100 | api |'), [
      'MAX_ATTEMPTS is not read by api',
    ]);
  });
});
