/** Problems of the agent's configuration that a service finds when it starts: exit status 78, EX_CONFIG. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { runNode } from '../../support/processes/processes.ts';
import { writeTempFile } from '../../support/temp-dir.ts';

const env = {
  DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
  GOOGLE_CLOUD_PROJECT: 'longhaul-test',
  PUBSUB_EMULATOR_HOST: '127.0.0.1:1',
  CLOUD_TASKS_EMULATOR_HOST: '127.0.0.1:1',
  DISPATCHER_URL: 'http://127.0.0.1:1',
  PUBLIC_URL: 'http://127.0.0.1:1',
  ENCRYPTION_KEYS: `test:${Buffer.alloc(32).toString('base64')}`,
  GEMINI_API_KEY: 'any',
  METADATA_SERVER_DETECTION: 'none',
  PORT: '0',
};

describe('a service', { timeout: 60_000, concurrency: true }, () => {
  for (const [service, name, more, problem] of [
    [
      'api',
      'an invalid AGENT_FILE',
      { limits: { modelCalls: 0 } },
      /:1:\d+: limits\.modelCalls: must be >= 1/,
    ],
    ['worker', 'an invalid AGENT_FILE', { names: 'x' }, /names: unknown field \(did you mean "name"\?\)/],
    [
      'worker',
      'a secret that is not set',
      { mcpServers: { notes: { url: 'http://127.0.0.1:1', headers: { a: '${env:NOTES_TOKEN}' } } } },
      /NOTES_TOKEN is not set, but the mcpServers of AGENT_FILE .* refer to it/,
    ],
  ] as const) {
    test(`exits with status 78 for ${name}: ${service}`, async (t) => {
      const AGENT_FILE = writeAgentFile(t, more);
      const { exited, output } = runNode(t, [`services/${service}/main.ts`], { env: { ...env, AGENT_FILE } });
      assert.deepEqual(await exited, { code: 78, signal: null }, output());
      assert.match(output(), problem);
    });
  }

  for (const [variable, file, problem] of [
    ['AGENT_FILE', '/nowhere.yaml', /AGENT_FILE \/nowhere\.yaml cannot be read: ENOENT/],
    ['AGENT_MODULE', 'empty', /AGENT_MODULE .* is not an agent/],
  ] as const) {
    test(`exits with status 78 for an unusable ${variable}`, async (t) => {
      const path = file === 'empty' ? writeTempFile(t, 'empty.ts', 'export default 1;') : file;
      const { exited, output } = runNode(t, ['services/worker/main.ts'], {
        env: { ...env, [variable]: path },
      });
      assert.deepEqual(await exited, { code: 78, signal: null }, output());
      assert.match(output(), problem);
    });
  }

  test('exits with status 78 for an unknown option of npm start', async (t) => {
    const { exited, output } = runNode(t, ['services/local/main.ts', '--nonsense'], { env: {} });
    assert.deepEqual(await exited, { code: 78, signal: null });
    assert.match(output(), /expected --watch, --infra or --help/);
  });
});
