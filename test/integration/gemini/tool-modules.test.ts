/** Tools in code, from the modules that a definition names. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { loadAgent, loadPowers } from '#services/worker/agent/load.ts';
import { loadToolModules } from '#services/worker/agent/tools/modules.ts';
import { minimalDefinition } from '../../support/agents/definition.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { createLineLog } from '../../support/processes/log-lines.ts';
import { useOfflineModel } from './use-offline-model.ts';

const example = 'docs/agents/orders.yaml';
const offline = useOfflineModel();
let definition: JsonObject;
let directory: string;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'tools-'));
  definition = parseAgentDefinition(await readFile(example, 'utf8'), example) as unknown as JsonObject;
});
after(() => rm(directory, { recursive: true }));

/** Writes a module and returns the path by which a definition names it. */
async function writeModule(source: string): Promise<string> {
  const file = path.join(directory, `${randomUUID()}.ts`);
  await writeFile(file, source);
  return file;
}

test('a tool may post its result later', async () => {
  const file = await writeModule(`export default [{
    name: 'convert', description: 'Converts.', pendingSeconds: 60,
    run: async (_args, { callbackUrl }) =>
      callbackUrl === 'http://callback.test/result:convert#1' ? { 'dev.longhaul/pending': true } : 'no callback',
  }];`);
  const more = { ...definition, toolModules: [file] };
  offline.model.script([
    { match: 'convert it', reactions: [{ functionCall: { name: 'convert', args: {} } }] },
  ]);
  const turn = new MemoryTurn({
    message: 'convert it',
    definition: more,
    answers: { 'result:convert#1': 'pdf' },
  });
  await offline.createAgent().run(turn);
  const [response] = offline.requests.at(-1)!.contents.at(-1)!.parts ?? [];
  assert.deepEqual(response?.functionResponse?.response, { output: 'pdf' });
});

describe('a tool of the example', () => {
  for (const [name, order, response] of [
    ['its result', '1001', { output: { state: 'shipped', carrier: 'Example Post' } }],
    ['the message of its error', '9999', { error: 'There is no order 9999.' }],
    [
      'the problems of invalid arguments',
      'first',
      {
        error: 'Not called: the arguments do not match the schema: data/order must match pattern "^\\d{4}$".',
      },
    ],
  ] satisfies [string, string, JsonObject][]) {
    test(`returns ${name} to the model`, async () => {
      const functionCall = { name: 'order_state', args: { order } };
      offline.model.script([{ match: 'look it up', reactions: [{ functionCall }] }]);
      const turn = new MemoryTurn({ message: 'look it up', definition });
      assert.deepEqual(await offline.createAgent({ toolDirectory: path.dirname(example) }).run(turn), {
        state: 'TASK_STATE_COMPLETED',
      });
      const step = turn.steps.get('tool:order_state#1')!;
      assert.deepEqual((JSON.parse(step.result) as { response: JsonObject }).response, response);
      assert.equal(step.options.sideEffects, false);
    });
  }

  test('marked confirm waits for approval of the exact call', async () => {
    const functionCall = { name: 'cancel_order', args: { order: '1002' } };
    offline.model.script([{ match: 'cancel it', reactions: [{ functionCall }] }]);
    const turn = new MemoryTurn({ message: 'cancel it', definition });
    const outcome = await offline.createAgent({ toolDirectory: path.dirname(example) }).run(turn);
    assert.ok('state' in outcome);
    assert.equal(outcome.state, 'TASK_STATE_AUTH_REQUIRED');
    assert.match(JSON.stringify(outcome.message), /cancel_order \{\\"order\\":\\"1002\\"\}/);
  });
});

describe('a tool of a module', () => {
  const context = { idempotencyKey: 'task/1/tool:key_of/0', signal: new AbortController().signal };
  async function loadTool(source: string) {
    const [tool] = await loadToolModules([await writeModule(`export default [${source}];`)], directory);
    return tool!;
  }
  const hanging = `{ name: 'hang', description: 'Hangs.', timeoutSeconds: 0.2, run: () => new Promise(() => {}) }`;

  test('gets the idempotency key, and has side effects by default', async () => {
    const tool = await loadTool(
      `{ name: 'key_of', description: 'Key.', run: async (_, { idempotencyKey }) => idempotencyKey }`,
    );
    assert.equal(await tool.call({}, context), context.idempotencyKey);
    assert.equal(tool.sideEffects, true);
  });

  test('may return its result without a promise', async () => {
    const tool = await loadTool(`{ name: 'now', description: 'Now.', run: () => ({ at: new Date(0) }) }`);
    assert.deepEqual(await tool.call({}, context), { at: '1970-01-01T00:00:00.000Z' });
  });

  for (const [result, message] of [
    ['() => 1', /returned a function, not JSON/],
    ['1n', /serialize a BigInt/],
  ] as const) {
    test(`fails for the model when it returns what is not JSON: ${result}`, async () => {
      const tool = await loadTool(`{ name: 'odd', description: 'Odd.', run: async () => (${result}) }`);
      await assert.rejects(tool.call({}, context), message);
    });
  }

  test('may return nothing', async () => {
    const tool = await loadTool(`{ name: 'nothing', description: 'Nothing.', run: async () => {} }`);
    assert.equal(await tool.call({}, context), null);
  });

  test('fails when its time is up, even if it ignores its signal', async () => {
    const tool = await loadTool(hanging);
    await assert.rejects(tool.call({}, context), /did not answer within 0.2 s/);
  });

  test('rethrows the reason of an abort', async () => {
    const tool = await loadTool(hanging);
    const cancel = new AbortController();
    const running = tool.call({}, { ...context, signal: cancel.signal });
    cancel.abort(new Error('cancelled'));
    await assert.rejects(running, /cancelled/);
  });
});

describe('loading a module', () => {
  for (const [name, source, message] of [
    ['without a list', 'export default {};', /must be an array .*must be a list of tools/],
    [
      'with an invalid name',
      'export default [{ name: "1st", description: "a", run: () => 1 }];',
      /0\.name: must be a letter/,
    ],
    ['without run', 'export default [{ name: "a", description: "a" }];', /0\.run: is required/],
    [
      'with the name of a built-in tool',
      'export default [{ name: "ask_user", description: "a", run: async () => 1 }];',
      /another tool has the name ask_user/,
    ],
    ['that throws', 'throw new Error("no such table");', /no such table/],
  ] satisfies [string, string, RegExp][]) {
    test(`reports a module ${name}, by its path`, async () => {
      const file = await writeModule(source);
      await assert.rejects(loadToolModules([path.basename(file)], directory), (error: unknown) => {
        assert.ok(error instanceof FatalError && error.message.includes(file), String(error));
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('fails at the start of a worker if the module does not exist', async () => {
    const agentFile = await writeModule('');
    await writeFile(agentFile, (await readFile(example, 'utf8')).replaceAll('orders-tools', 'no-tools'));
    await assert.rejects(
      loadAgent({ agentFile, gemini: offline.client, getSecret: () => undefined }),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.ok(
          error.message.includes(`The tools of ${directory}/no-tools.ts cannot be loaded`),
          error.message,
        );
        return true;
      },
    );
  });

  test('fails at the start of a worker for which a secret is not set', async () => {
    const server = {
      url: 'http://127.0.0.1:1/mcp',
      headers: { a: '${env:ONE} ${env:TWO}', b: '${env:TWO}' },
    };
    const agentFile = await writeModule(
      JSON.stringify({ ...minimalDefinition, mcpServers: { a: server, b: server } }),
    );
    await assert.rejects(
      loadAgent({
        agentFile,
        gemini: offline.client,
        getSecret: (name) => (name === 'ONE' ? '1' : undefined),
      }),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(error.problems, [
          `TWO is not set, but the mcpServers of AGENT_FILE ${agentFile} refer to it`,
        ]);
        return true;
      },
    );
  });
});

describe('a stored definition', () => {
  const run = async (own: object, stored: object, earlier: object[] = []): Promise<unknown> => {
    const [agentFile = '', ...earlierFiles] = await Promise.all(
      [own, ...earlier].map((more) => writeModule(JSON.stringify({ ...minimalDefinition, ...more }))),
    );
    const { log, lines, at } = createLineLog();
    const getSecret = (): string => 'a secret';
    const agent = await loadAgent({
      agentFile,
      powers: await loadPowers(agentFile, earlierFiles),
      gemini: offline.client,
      getSecret,
      log,
    });
    const definition = parseAgentDefinition(JSON.stringify({ ...minimalDefinition, ...stored }), 'x');
    try {
      return await agent.run(
        new MemoryTurn({ message: 'hi', definition: definition as unknown as JsonObject }),
      );
    } catch (error) {
      assert.ok(error instanceof RetryableError, String(error));
      assert.equal(at('error').length, 1);
      assert.doesNotMatch(JSON.stringify(lines), /a secret/);
      return (error.cause as Error).message;
    } finally {
      await agent.close?.();
    }
  };
  const command = (args: string[]): object => ({ mcpServers: { files: { command: 'cat', args } } });
  const remote = (url: string): object => ({
    mcpServers: { crm: { url, headers: { authorization: 'Bearer ${env:CRM_TOKEN}' }, optional: true } },
  });

  test('cannot name a module, command or secret that the file of the worker lacks', async () => {
    const module = await writeModule('globalThis.wasLoaded = true; export default [];');
    assert.match(String(await run({}, { toolModules: [module] })), /do not have the tool module \//);
    assert.equal('wasLoaded' in globalThis, false);
    assert.match(
      String(await run(command(['a']), command(['a', 'b']))),
      /do not have the command cat of the MCP server files/,
    );
    assert.match(
      String(await run(remote('http://127.0.0.1:9/mcp'), remote('http://127.0.0.1:10/mcp'))),
      /do not have \$\{env:CRM_TOKEN\} in the headers of the MCP server crm/,
    );
  });

  test('may name what the file of the worker or an earlier one has', async () => {
    const module = await writeModule('export default [];');
    const completed = { state: 'TASK_STATE_COMPLETED' };
    assert.deepEqual(await run({ toolModules: [module] }, { toolModules: [module] }), completed);
    assert.deepEqual(await run({}, { toolModules: [module] }, [{ toolModules: [module] }]), completed);
    assert.deepEqual(await run({}, { instruction: 'Be long.' }), completed);
  });
});
