/** Tools in code, from the modules that a definition names: loaded, checked, called by the loop, approved. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { startOfflineModel } from '#services/local/offline-model/server.ts';
import type { OfflineModel } from '#services/local/offline-model/server.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import { loadAgent } from '#services/worker/agent/load.ts';
import { loadToolModules } from '#services/worker/agent/tools/modules.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';

const example = 'docs/agents/orders.yaml';
let offline: OfflineModel;
let definition: JsonObject;
let directory: string;

before(async () => {
  offline = await startOfflineModel({ port: 0 });
  directory = await mkdtemp(path.join(tmpdir(), 'tools-'));
  definition = parseAgentDefinition(await readFile(example, 'utf8'), example) as unknown as JsonObject;
});
beforeEach(() => offline.reset());
after(async () => {
  await offline.close();
  await rm(directory, { recursive: true });
});

const agent = () => createGeminiAgent({ client: { apiKey: 'any', baseUrl: offline.url } });

/** A module with this source, as the path by which a definition names it. */
async function moduleOf(source: string): Promise<string> {
  const file = path.join(directory, `${randomUUID()}.ts`);
  await writeFile(file, source);
  return file;
}

test('the model calls a tool of the example; what it throws, and arguments that do not fit, go to the model', async () => {
  offline.script([
    {
      match: 'all three',
      reactions: [
        {
          functionCall: [
            { name: 'order_state', args: { order: '1001' } },
            { name: 'order_state', args: { order: '9999' } },
            { name: 'order_state', args: { order: 'first' } },
          ],
        },
      ],
    },
  ]);
  const turn = new MemoryTurn({ message: 'all three', definition });
  assert.deepEqual(await agent().run(turn), { state: 'TASK_STATE_COMPLETED' });
  const responses = ['tool:order_state#1', 'tool:order_state#2', 'tool:order_state#3'].map(
    (key) => (JSON.parse(turn.steps.get(key)!.result) as { response: JsonObject }).response,
  );
  assert.deepEqual(responses, [
    { output: { state: 'shipped', carrier: 'Example Post' } },
    { error: 'There is no order 9999.' },
    {
      error: 'Not called: the arguments do not fit the schema: /order must match pattern "^\\d{4}$"',
    },
  ]);
  assert.equal(turn.steps.get('tool:order_state#1')!.options.sideEffects, false);
});

test('a tool marked confirm waits for approval of the very call', async () => {
  offline.script([
    { match: 'cancel it', reactions: [{ functionCall: { name: 'cancel_order', args: { order: '1002' } } }] },
  ]);
  const outcome = await agent().run(new MemoryTurn({ message: 'cancel it', definition }));
  assert.ok('state' in outcome);
  assert.equal(outcome.state, 'TASK_STATE_AUTH_REQUIRED');
  assert.match(JSON.stringify(outcome.message), /cancel_order \{\\"order\\":\\"1002\\"\}/);
});

test('a call is given its key and a signal, and is left behind when its time is up', async () => {
  const file = await moduleOf(`export default [
    { name: 'key_of', description: 'Key.', run: async (_, { idempotencyKey }) => idempotencyKey },
    { name: 'nothing', description: 'Nothing.', run: async () => {} },
    { name: 'hang', description: 'Hangs.', timeoutSeconds: 0.2, run: () => new Promise(() => {}) },
  ];`);
  const [keyOf, nothing, hang] = await loadToolModules([file]);
  const call = { idempotencyKey: 'task/1/tool:key_of/0', signal: new AbortController().signal };
  assert.equal(await keyOf?.call({}, call), call.idempotencyKey);
  assert.equal(await nothing?.call({}, call), null);
  assert.equal(keyOf?.sideEffects, true);
  await assert.rejects(hang!.call({}, call), /gave no answer within 0.2 s/);
  const cancel = new AbortController();
  const hanging = hang!.call({}, { ...call, signal: cancel.signal });
  cancel.abort(new Error('cancelled'));
  await assert.rejects(hanging, /cancelled/);
});

test('what is wrong with a module is told, by its path, and at the start of a worker', async () => {
  const wrong: [string, RegExp][] = [
    ['export default {};', /must be a list of tools/],
    ['export default [{ name: "1st", description: "a", run: () => 1 }];', /0\.name: must be a letter/],
    ['export default [{ name: "a", description: "a" }];', /0\.run: missing/],
    [
      'export default [{ name: "ask_user", description: "a", run: async () => 1 }];',
      /the name ask_user is taken/,
    ],
    ['throw new Error("no such table");', /no such table/],
  ];
  for (const [source, message] of wrong) {
    const file = await moduleOf(source);
    await assert.rejects(loadToolModules([file]), (error: unknown) => {
      assert.ok(error instanceof FatalError && error.message.includes(file), String(error));
      assert.match(error.message, message);
      return true;
    });
  }
  const agentFile = await moduleOf('');
  await writeFile(agentFile, (await readFile(example, 'utf8')).replaceAll('orders-tools', 'no-tools'));
  const gemini = { apiKey: 'any', baseUrl: offline.url, vertexai: false };
  await assert.rejects(
    loadAgent({ agentFile, gemini, secretOf: () => undefined }),
    /docs\/agents\/no-tools\.ts cannot be loaded/,
  );
});
