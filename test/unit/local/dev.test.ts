/** The parts of `longhaul dev` and `npm start` that need no processes. */
import assert from 'node:assert/strict';
import { realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { findAgent } from '#services/cli/agent-files.ts';
import { readOptions } from '#services/local/options.ts';
import { findPortFrom } from '#services/local/ports.ts';
import { createPrint } from '#services/local/processes/log-output.ts';
import { readAgentSources } from '#services/local/services/agent-sources.ts';
import { watchAgent } from '#services/local/services/agent-watch.ts';
import { freePort } from '../../support/network/ports.ts';
import { createTempDir, writeTempFile } from '../../support/temp-dir.ts';

describe('the agent of a folder', () => {
  test('is its YAML, with a module if it is code', (t) => {
    const folder = createTempDir(t);
    const [file, module] = ['agent.yaml', 'agent.mjs'].map((name) => path.join(folder, name)) as [
      string,
      string,
    ];
    writeFileSync(file, '');
    assert.deepEqual(findAgent(folder, {}), { AGENT_FILE: file });
    writeFileSync(module, '');
    assert.deepEqual(findAgent(folder, {}), { AGENT_FILE: file, AGENT_MODULE: module });
  });

  test('is not searched for when a variable names one', (t) => {
    assert.deepEqual(findAgent(createTempDir(t), { AGENT_FILE: 'other.yaml' }), {});
  });

  test('is code alone, which describes itself', (t) => {
    const folder = createTempDir(t);
    assert.throws(() => findAgent(folder, {}), /has no agent: expected agent\.yaml, agent\.ts or agent\.js/);
    const module = path.join(folder, 'agent.ts');
    writeFileSync(module, '');
    assert.deepEqual(findAgent(folder, {}), { AGENT_MODULE: module });
  });
});

describe('the sources of an agent', () => {
  test('are read again after a change', async (t) => {
    const agentModule = writeTempFile(
      t,
      'agent.mjs',
      "export default { version: '1', definition: { name: 'A' } };",
    );
    const read = () => readAgentSources({ agentFile: undefined, agentModule });
    assert.equal((await read()).description, '[{"name":"A"},"1"]');
    writeFileSync(agentModule, 'export default { run() {} };');
    assert.equal((await read()).description, '[null,null]');
    writeFileSync(agentModule, 'throw new Error("broken");');
    assert.deepEqual((await read()).description, undefined);
  });

  test('are the modules that it imports, even if one is missing, and its scripts', async (t) => {
    const folder = realpathSync(createTempDir(t));
    const write = (name: string, text: string): string => {
      writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    const agentModule = write('agent.mjs', "import './own.mjs'; export default {};");
    const own = write('own.mjs', "import './missing.mjs';");
    const tools = write('tools.mjs', 'export default [];');
    const script = write('server.py', '');
    const definition = {
      name: 'A',
      description: 'An agent.',
      version: '1',
      instruction: 'Answer.',
      skills: [{ id: 'a', name: 'A', description: 'Answers.', tags: ['a'] }],
      toolModules: ['tools.mjs'],
      mcpServers: { own: { command: 'python3', args: [script, '--verbose'] } },
    };
    const agentFile = write('agent.yaml', JSON.stringify(definition));
    write('unrelated.mjs', '');
    const { files } = await readAgentSources({ agentFile, agentModule });
    const missing = path.join(folder, 'missing.mjs');
    assert.deepEqual([...files].toSorted(), [agentModule, agentFile, missing, own, script, tools]);
  });
});

test('a change of a file that the agent does not import restarts no worker', async (t) => {
  const folder = realpathSync(createTempDir(t));
  const write = (name: string, text: string): void => writeFileSync(path.join(folder, name), text);
  write('agent.mjs', "import './own.mjs'; export default {};");
  write('own.mjs', '');
  write('other.mjs', '');
  const ended = new AbortController();
  t.after(() => ended.abort());
  const restarted = Promise.withResolvers<void>();
  const services = { restartWorkers: async () => undefined, restartApi: () => undefined };
  let changed: unknown;
  await watchAgent({
    agent: { agentFile: undefined, agentModule: path.join(folder, 'agent.mjs') },
    services,
    print: (_service, entry) => {
      changed ??= entry['changed'];
      restarted.resolve();
    },
    signal: ended.signal,
  });
  write('other.mjs', '// changed');
  write('new.mjs', '');
  write('own.mjs', '// changed');
  await restarted.promise;
  assert.equal(changed, path.relative('.', path.join(folder, 'own.mjs')));
});

describe('ports of the local stack', () => {
  test('never give the port of the api to another service', async () => {
    const port = await freePort();
    assert.notEqual(await findPortFrom(port, [port]), port);
  });

  test('refuse one port for HTTP and gRPC', () => {
    assert.throws(
      () => readOptions({}, { PORT: '8080', GRPC_PORT: '8080' }),
      /PORT and GRPC_PORT must differ/,
    );
  });
});

test('prints no colors when NO_COLOR is set', () => {
  const printed: string[] = [];
  const output = { isTTY: true, write: (text: string) => printed.push(text) };
  createPrint(output, { color: false })('api', { severity: 'ERROR', message: 'failed', code: 1 });
  assert.match(printed[0]!, /^\d\d:\d\d:\d\d api +error failed code=1\n$/);
});
