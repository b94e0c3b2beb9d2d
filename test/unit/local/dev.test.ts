/** The parts of `longhaul dev` and `npm start` that need no processes. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { findAgent } from '#services/cli/agent-files.ts';
import { readOptions } from '#services/local/options.ts';
import { findPortFrom } from '#services/local/ports.ts';
import { createPrint } from '#services/local/processes/log-output.ts';
import { readDescription } from '#services/local/services/description.ts';
import { freePort } from '../../support/ports.ts';
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

test('the description of an agent in code is read again after a change', async (t) => {
  const file = writeTempFile(t, 'agent.mjs', "export default { version: '1', definition: { name: 'A' } };");
  assert.equal(await readDescription(file), '[{"name":"A"},"1"]');
  writeFileSync(file, 'export default { run() {} };');
  assert.equal(await readDescription(file), '[null,null]');
  writeFileSync(file, 'throw new Error("broken");');
  await assert.rejects(readDescription(file), /broken/);
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
