/** MCP servers that are slow or busy, change their tools, or send what the specification does not allow. */
import assert from 'node:assert/strict';
import { describe, mock, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, getGlobalDispatcher, setGlobalDispatcher } from 'undici';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { OutputWithFiles, Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import { createMcpTools } from '#services/worker/agent/mcp/tools.ts';
import { minimalDefinition } from '../../support/agents/definition.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { unreportedWaits } from '../../support/agents/partner-waits.ts';
import {
  createMcpTool,
  startScriptedMcp,
  textResult,
  type ScriptedAnswer,
  type ScriptedMcp,
} from '../../support/fakes/scripted-mcp.ts';
import { waitFor } from '../../support/wait-for.ts';
import { useOfflineModel } from './use-offline-model.ts';

const offline = useOfflineModel();

interface Connected {
  server: ScriptedMcp;
  list: () => Promise<{ names: string[]; leftOut: string[] }>;
  call: (name: string, report?: (progress: string) => void) => ReturnType<Tool['call']>;
}

/** Starts a server and connects to it. */
async function connect(t: TestContext, tools: JsonObject[], more: JsonObject = {}): Promise<Connected> {
  const server = await startScriptedMcp(t);
  server.tools = tools;
  const mcp = createMcpTools(() => undefined);
  t.after(() => mcp.close());
  const mcpServers = { it: { url: server.url, ...more } };
  const definition = parseAgentDefinition(JSON.stringify({ ...minimalDefinition, mcpServers }), 'x');
  const load = () => mcp.loadTools(definition.mcpServers, new Set(), unreportedWaits);
  const { tools: first } = await load();
  return {
    server,
    list: async () => {
      const loaded = await load();
      const shown = loaded.tools.filter(({ hidden }) => hidden !== true);
      return { names: shown.map(({ declaration }) => declaration.name), leftOut: loaded.leftOut };
    },
    call: async (name, report) => {
      const tool = first.find(({ declaration }) => declaration.name === name)!;
      return tool.call(
        {},
        {
          idempotencyKey: 'key',
          signal: new AbortController().signal,
          ...(report && { report }),
        },
      );
    },
  };
}

const look = createMcpTool('look');
const write = createMcpTool('write', { annotations: { readOnlyHint: false } });

describe('a slow MCP server', () => {
  test('is waited for as long as the definition says, not as long as fetch does', async (t) => {
    const { server, call } = await connect(t, [look], { timeoutSeconds: 600 });
    const usual = getGlobalDispatcher();
    setGlobalDispatcher(new Agent({ headersTimeout: 500, bodyTimeout: 500 }));
    t.after(() => setGlobalDispatcher(usual));
    server.answer = async () => {
      await sleep(2500);
      return textResult('at last');
    };
    assert.equal(await call('look'), 'at last');
    assert.deepEqual(server.calls, ['look']);
  });
});

describe('progress of a call', () => {
  test('starts its timeout again, and is reported', async (t) => {
    const { server, call } = await connect(t, [look], { timeoutSeconds: 1 });
    server.answer = async () => {
      for (const progress of [1, 2, 3]) {
        await sleep(500);
        await server.report({ progress, total: 3, ...(progress === 2 && { message: 'Half done' }) });
      }
      await waitFor('the last report', () => reported.length === 3);
      return textResult('done');
    };
    const reported: string[] = [];
    assert.equal(await call('look', (progress) => reported.push(progress)), 'done');
    assert.deepEqual(reported, ['1 of 3', 'Half done (2 of 3)', '3 of 3']);
  });

  test('does not extend it beyond the maximum', async (t) => {
    const { server, call } = await connect(t, [look], { timeoutSeconds: 1, maxSeconds: 1 });
    const ended = new AbortController();
    server.answer = async () => {
      while (!ended.signal.aborted) {
        await server.report({ progress: 1 });
        await sleep(200);
      }
      return textResult('too late');
    };
    await assert.rejects(call('look'), /did not (?:finish|answer) within 1 s/);
    ended.abort();
  });

  test('reaches the client of the task, at most once a second', async (t) => {
    const { server } = await connect(t, [look]);
    const mcp = createMcpTools(() => undefined);
    t.after(() => mcp.close());
    const definition = { ...minimalDefinition, tools: [], mcpServers: { it: { url: server.url } } };
    const turn = new MemoryTurn({ message: 'Use the tool look with {}', definition });
    server.answer = async () => {
      for (const progress of [1, 2, 3]) await server.report({ progress, total: 9 });
      await waitFor('the progress', () => turn.progressMessages.some((text) => text === 'look: 3 of 9'));
      for (const progress of [4, 5]) await server.report({ progress, total: 9 });
      return textResult('done');
    };
    assert.deepEqual(await offline.createAgent({ mcp }).run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(
      turn.progressMessages.filter((text) => text.startsWith('look')),
      ['look: 3 of 9'],
    );
  });
});

describe('a server that is away', () => {
  const away = { url: 'http://127.0.0.1:1/mcp' };
  const create = (t: TestContext) => {
    const mcp = createMcpTools(() => undefined);
    t.after(() => mcp.close());
    return offline.createAgent({ mcp });
  };

  test('does not affect a turn that does not need it', async (t) => {
    const definition = { ...minimalDefinition, tools: [], mcpServers: { it: away } };
    const turn = new MemoryTurn({ message: 'What is 6 times 7?', definition });
    assert.deepEqual(await create(t).run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(turn.progressMessages, []);
    const [declared] = offline.requests[0]!.tools ?? [];
    assert.match(JSON.stringify(declared), /"wait_for_it".*currently unavailable/);
  });

  test('parks a turn that needs it, until it is back', async (t) => {
    const server = await startScriptedMcp(t);
    server.tools = [look];
    let refuses = true;
    server.answerList = () => (refuses ? { status: 500 } : { result: { tools: server.tools } });
    const agent = create(t);
    const definition = { ...minimalDefinition, tools: [], mcpServers: { it: { url: server.url } } };
    offline.model.script([
      {
        match: 'look it up',
        reactions: [
          { functionCall: { name: 'wait_for_it', args: {} } },
          { functionCall: { name: 'look', args: {} } },
        ],
      },
    ]);
    const turn = new MemoryTurn({ message: 'look it up', definition });
    await assert.rejects(agent.run(turn), {
      name: 'RetryableError',
      message: /"it" is currently unavailable/,
    });
    assert.deepEqual(turn.progressMessages, [], 'no call is announced');
    refuses = false;
    const again = () => new MemoryTurn({ message: 'look it up', definition, steps: turn.steps });
    await assert.rejects(agent.run(again()), { name: 'ParkedError' });
    assert.deepEqual(await agent.run(again()), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(server.calls, ['look']);
    assert.match(turn.steps.get('tool:wait_for_it#1')?.result ?? '', /are available now/);
  });

  test('keeps the tools of its last list, whose calls wait', async (t) => {
    const { server, list, call } = await connect(t, [look]);
    server.answer = () => ({ status: 404 });
    await assert.rejects(call('look'), { name: 'RetryableError' });
    assert.deepEqual((await list()).names, ['look']);
  });

  test('is left out if it is optional, which the client and the model learn', async (t) => {
    const definition = { ...minimalDefinition, tools: [], mcpServers: { it: { ...away, optional: true } } };
    const turn = new MemoryTurn({ message: 'What is 6 times 7?', definition });
    assert.deepEqual(await create(t).run(turn), { state: 'TASK_STATE_COMPLETED' });
    const note = 'The tools of the MCP server "it" are left out, because it is currently unavailable.';
    assert.deepEqual(turn.progressMessages, [note]);
    assert.ok(
      JSON.stringify(offline.requests[0]!.systemInstruction).includes(JSON.stringify(note).slice(1, -1)),
    );
    assert.equal(offline.requests[0]!.tools, undefined);
  });

  test('fails a call for the model if it is optional', async (t) => {
    const { server, call } = await connect(t, [look], { optional: true });
    server.answer = () => ({ status: 404 });
    await assert.rejects(call('look'), { name: 'Error', message: 'The tool is currently unavailable.' });
  });
});

describe('a result that the specification does not allow', () => {
  const outputSchema = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] };
  const cases: [string, JsonObject, RegExp][] = [
    [
      'that does not match the output schema',
      { content: [], structuredContent: { n: 'three' } },
      /"result":\{"n":"three"\},"remark":"The result does not match the output schema .*n must be number/,
    ],
    [
      'without the declared structured content',
      { content: [{ type: 'text', text: 'three' }] },
      /"result":"three","remark":"The tool has declared structured output but returned none/,
    ],
    [
      'with content of an unknown type',
      { content: [{ type: 'hologram', data: 'abc' }], structuredContent: { n: 3 } },
      /^\{"n":3\}$/,
    ],
    ['without content', { structuredContent: { n: 3 } }, /^\{"n":3\}$/],
    ['with an array as structured content', { content: [], structuredContent: [3] }, /"result":"\[3\]"/],
  ];
  for (const [name, result, expected] of cases) {
    test(`is given to the model: ${name}`, async (t) => {
      const { server, call } = await connect(t, [{ ...write, outputSchema }]);
      server.answer = () => ({ result });
      assert.match(JSON.stringify(await call('write')), expected);
      assert.equal(server.calls.length, 1);
    });
  }

  for (const [name, block] of [
    ['image, image/png', { type: 'image', mimeType: 'image/png', data: 'no base64!' }],
    ['audio, audio/wav', { type: 'audio', mimeType: 'audio/wav', data: 'abcde' }],
    [
      'resource, file:///a, application/pdf',
      { type: 'resource', resource: { uri: 'file:///a', mimeType: 'application/pdf', blob: '====' } },
    ],
  ] as [string, JsonObject][]) {
    test(`is used except for a block with invalid base64: ${name}`, async (t) => {
      const { server, call } = await connect(t, [write]);
      const image = { type: 'image', mimeType: 'image/png', data: 'aG\nk=\n' };
      server.answer = () => ({ result: { content: [block, { type: 'text', text: 'the rest' }, image] } });
      const { output, files } = (await call('write')) as OutputWithFiles;
      const expected = `[${name}: unreadable, because its content is not valid base64]\nthe rest\n`;
      assert.ok(typeof output === 'string' && output.startsWith(expected), JSON.stringify(output));
      assert.deepEqual(files, [{ mediaType: 'image/png', data: 'aGk=' }]);
    });
  }

  test('is quoted if nothing else describes it', async (t) => {
    const { server, call } = await connect(t, [write]);
    server.answer = () => ({ result: { content: [{ type: 'hologram', data: 'abc' }, { type: 'text' }] } });
    const output = await call('write');
    assert.match(JSON.stringify(output), /content of an unknown form: .*hologram.*abc/);
  });
});

describe('the list of tools', () => {
  test('is read again a minute later', async (t) => {
    const { server, list } = await connect(t, [look]);
    await list();
    assert.equal(server.lists, 1);
    server.tools = [look, write];
    mock.timers.enable({ apis: ['Date'], now: Date.now() + 61_000 });
    t.after(() => mock.timers.reset());
    assert.deepEqual((await list()).names, ['look', 'write']);
  });

  test('stays in use if it cannot be read again, and running calls continue', async (t) => {
    const { server, list, call } = await connect(t, [write]);
    const answered = Promise.withResolvers<ScriptedAnswer>();
    server.answer = () => answered.promise;
    const running = call('write');
    await waitFor('the call', () => server.calls.length === 1);
    mock.timers.enable({ apis: ['Date'], now: Date.now() + 61_000 });
    t.after(() => mock.timers.reset());
    server.answerList = () => ({ error: { code: -32_603, message: 'Internal error' } });
    assert.deepEqual((await list()).names, ['write']);
    assert.equal(server.lists, 2);
    answered.resolve(textResult('done'));
    assert.equal(await running, 'done');
  });

  test('is read again when the server announces a change', async (t) => {
    const { server, list } = await connect(t, [look]);
    server.tools = [write];
    await server.announce();
    // Without the announcement, after a minute.
    const isNew = async () => (await list()).names.join() === 'write';
    await waitFor('the new list', isNew, { boundMs: 40_000 });
    assert.equal(server.lists, 2);
  });

  for (const [name, unknown] of [
    ['an error', { error: { code: -32_602, message: 'Unknown tool: look' } }],
    ['a result', { result: { isError: true, content: [{ type: 'text', text: 'Tool look not found' }] } }],
  ] satisfies [string, ScriptedAnswer][]) {
    test(`is read again when the server does not know a tool, as ${name}`, async (t) => {
      const { server, list, call } = await connect(t, [look]);
      server.answer = () => unknown;
      server.tools = [write];
      await assert.rejects(call('look'), /look/);
      assert.deepEqual(server.calls, ['look']);
      assert.deepEqual((await list()).names, ['write']);
    });
  }

  test('lets a call succeed whose tool is still in it', async (t) => {
    const { server, call } = await connect(t, [look]);
    server.answer = (number) =>
      number === 1 ? { error: { code: -32_602, message: 'Unknown tool: look' } } : textResult('found');
    assert.equal(await call('look'), 'found');
  });

  for (const [name, invalid, reason] of [
    ['no schema', { name: 'bad' }, /it has no schema of its arguments/],
    ['no object as arguments', { name: 'bad', inputSchema: { type: 'string' } }, /declaration is not valid/],
    [
      'an unknown type in its schema',
      createMcpTool('bad', { inputSchema: { type: 'object', properties: { a: { type: 'thing' } } } }),
      /the schema of its arguments is not valid: .*type must be/,
    ],
    [
      'a dangling reference in its schema',
      createMcpTool('bad', { inputSchema: { type: 'object', properties: { a: { $ref: '#/$defs/b' } } } }),
      /the schema of its arguments is not valid/,
    ],
  ] satisfies [string, JsonObject, RegExp][]) {
    test(`leaves out only the tool with ${name}, and says so`, async (t) => {
      const { list } = await connect(t, [look, invalid, write]);
      const { names, leftOut } = await list();
      assert.deepEqual(names, ['look', 'write']);
      assert.equal(leftOut.length, 1);
      assert.match(leftOut[0] ?? '', /^The tool "bad" of the MCP server "it" is left out: /);
      assert.match(leftOut[0] ?? '', reason);
    });
  }

  test('without an invalid tool is used by the agent, which says what is missing', async (t) => {
    const { server } = await connect(t, [look, { name: 'bad' }]);
    const mcp = createMcpTools(() => undefined);
    t.after(() => mcp.close());
    const definition = { ...minimalDefinition, tools: [], mcpServers: { it: { url: server.url } } };
    const turn = new MemoryTurn({ message: 'Use the tool look with {}', definition });
    assert.deepEqual(await offline.createAgent({ mcp }).run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.match(turn.progressMessages[0] ?? '', /The tool "bad" of the MCP server "it" is left out/);
    assert.match(JSON.stringify(offline.requests[0]!.systemInstruction), /The tool \\"bad\\" .* is left out/);
    assert.deepEqual(server.calls, ['look']);
  });
});

describe('a tool that sends its result later', () => {
  const pending: ScriptedAnswer = { result: { content: [], _meta: { 'dev.longhaul/pending': true } } };

  async function run(
    t: TestContext,
    mcpServers: JsonObject,
    answers: Record<string, Json>,
  ): Promise<unknown> {
    const { server } = await connect(t, [look]);
    server.answer = () => pending;
    const mcp = createMcpTools(() => undefined);
    t.after(() => mcp.close());
    const it = { url: server.url, pendingSeconds: 60, maxOutputChars: 100, ...mcpServers };
    const definition = { ...minimalDefinition, tools: [], mcpServers: { it } };
    const turn = new MemoryTurn({ message: 'Use the tool look with {}', definition, answers });
    const agent = offline.createAgent({ mcp });
    assert.deepEqual(await agent.run(turn), { state: 'TASK_STATE_COMPLETED' });
    const url = server.lastMeta['dev.longhaul/callbackUrl'];
    assert.equal(url, mcpServers['pending'] === undefined ? undefined : 'http://callback.test/result:look#1');
    const [response] = offline.requests.at(-1)!.contents.at(-1)!.parts ?? [];
    // A later turn restores the conversation from the record.
    await agent.run(turn.next('And now?'));
    const restored = offline.requests.at(-1)!.contents.flatMap(({ parts = [] }) => parts);
    assert.deepEqual(
      restored.filter((part) => part.functionResponse !== undefined),
      [response],
    );
    return response?.functionResponse?.response;
  }

  test('gets a URL, and the model gets what is posted there', async (t) => {
    const answers = { 'result:look#1': { at: 3 } };
    assert.deepEqual(await run(t, { pending: ['lo*'] }, answers), { output: { at: 3 } });
    const long = await run(t, { pending: ['look'] }, { 'result:look#1': 'x'.repeat(200) });
    assert.match(JSON.stringify(long), /x\\n\[cut: the first 100 of 202 characters\]/);
  });

  test('is an error for the model if it sends nothing in time, or has no callback', async (t) => {
    assert.deepEqual(await run(t, { pending: ['look'] }, {}), {
      error: 'The tool did not send its result within 60 s.',
    });
    assert.deepEqual(await run(t, {}, {}), {
      error: 'The result of the tool is pending, but it got no callback.',
    });
  });
});

describe('a busy MCP server', () => {
  for (const status of [429, 503]) {
    test(`gets a read-only call again after the wait that it asks for: ${status}`, async (t) => {
      const { server, call } = await connect(t, [look]);
      let refusedAt = 0;
      server.answer = (number) => {
        if (number > 1) return textResult('now');
        refusedAt = performance.now();
        return { status, headers: { 'retry-after': '1' } };
      };
      assert.equal(await call('look'), 'now');
      assert.ok(performance.now() - refusedAt >= 990);
    });
  }

  test('is not waited for longer than the timeout of the call', async (t) => {
    const { server, call } = await connect(t, [look], { timeoutSeconds: 5 });
    server.answer = () => ({ status: 429, headers: { 'retry-after': '60' } });
    await assert.rejects(call('look'), /not called, because its server is busy. It asks to wait 60 s/);
    assert.equal(server.calls.length, 1);
  });

  test('does not get a call with side effects again whose connection was lost', async (t) => {
    const { server, call } = await connect(t, [write]);
    server.answer = () => {
      throw new Error('closes the connection');
    };
    await assert.rejects(call('write'), /It is unknown whether the call took effect/);
    assert.equal(server.calls.length, 1);
  });

  test('does not get a call with side effects again', async (t) => {
    const { server, call } = await connect(t, [write]);
    server.answer = () => ({ status: 503, headers: { 'retry-after': '0' } });
    await assert.rejects(call('write'), /its server is busy/);
    assert.equal(server.calls.length, 1);
  });
});
