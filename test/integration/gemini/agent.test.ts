/**
 * The requests that a turn makes, its answer, and its tools. Failures are in failures.test.ts and
 * recovery.test.ts.
 */
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Language, Outcome, type Content, type Part } from '@google/genai';
import { FatalError, LeaseLostError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { loadAgent } from '#services/worker/agent/load.ts';
import { minimalDefinition as definition } from '../../support/agents/definition.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { createMemoryBatches } from '../../support/fakes/memory-batches.ts';
import { waitFor } from '../../support/wait-for.ts';
import { createTool, definitionWithoutTools, useOfflineModel } from './use-offline-model.ts';

const offline = useOfflineModel();

/** Returns a function that blocks until its second call. Callers that run one after the other would wait forever. */
function createBarrier(): () => Promise<void> {
  let waiting = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  return () => {
    waiting += 1;
    if (waiting === 2) resolve();
    return promise;
  };
}

describe('the request to the model', () => {
  test('is built from the definition of the task', async () => {
    const model = { name: 'gemini-3.5-flash', temperature: 0.5, maxOutputTokens: 500, thinkingLevel: 'low' };
    const turn = new MemoryTurn({ message: 'hello', definition: { ...definition, model, tools: [] } });
    await offline.createAgent().run(turn);
    assert.equal(offline.model.log()[0]?.model, 'gemini-3.5-flash');
    const [request] = offline.requests;
    assert.equal(request?.systemInstruction?.parts?.[0]?.text, 'Be brief.');
    assert.deepEqual(request?.generationConfig, {
      temperature: 0.5,
      maxOutputTokens: 500,
      thinkingConfig: { thinkingLevel: 'LOW' },
    });
    assert.equal(request?.tools, undefined);
  });

  test('is not made for an invalid definition', async () => {
    const turn = new MemoryTurn({ message: 'x', definition: { name: 'x' } });
    await assert.rejects(offline.createAgent().run(turn), FatalError);
    assert.equal(offline.requests.length, 0);
  });

  test('contains history, data and files', async () => {
    const turn = new MemoryTurn({
      message: [{ text: 'look' }, { data: { a: 1 } }, { raw: 'aGk=', mediaType: 'image/png' }],
      history: [
        { taskId: 't0', turn: 1, role: 'user', parts: [{ text: 'first' }] },
        { taskId: 't0', turn: 1, role: 'agent', parts: [{ text: 'second' }] },
        { taskId: 't0', turn: 1, role: 'agent', parts: [{ raw: 'aGk=', filename: 'plot.png' }] },
      ],
      definition,
    });
    await offline.createAgent().run(turn);
    const image = { inlineData: { mimeType: 'image/png', data: 'aGk=' } };
    assert.deepEqual(offline.requests[0]?.contents, [
      { role: 'user', parts: [{ text: 'first' }] },
      { role: 'model', parts: [{ text: 'second' }, { text: '[file plot.png]' }] },
      { role: 'user', parts: [{ text: 'look' }, { text: '{"a":1}' }, image] },
    ]);
  });

  test("uses Vertex AI's paths when it is configured", async () => {
    const agent = offline.createAgent({
      client: { vertexai: true, apiKey: 'express', baseUrl: offline.model.url },
      tools: [createTool('lookup', async () => 'it')],
    });
    const turn = new MemoryTurn({ message: 'Use the tool lookup with {"key": "a"}', definition });
    assert.deepEqual(await agent.run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.match(turn.getArtifactText('answer') ?? '', /lookup returned: it/);
  });
});

describe('the answer', () => {
  test('is streamed into one artifact', async () => {
    const turn = new MemoryTurn({ message: 'What is 12 * (3 + 4)?', definition: definitionWithoutTools });
    assert.deepEqual(await offline.createAgent().run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.match(turn.getArtifactText('answer') ?? '', /12 \* \(3 \+ 4\) = 84/);
    assert.ok(turn.updates.length > 1);
    assert.deepEqual(
      turn.updates.map(({ append }) => append),
      turn.updates.map((_, index) => index > 0),
    );
  });

  test('is recorded with its usage', async () => {
    const turn = new MemoryTurn({ message: 'What is 12 * (3 + 4)?', definition: definitionWithoutTools });
    await offline.createAgent().run(turn);
    const step = turn.steps.get('model#1')!;
    const usage = step.options.usage?.(JSON.parse(step.result) as Json);
    assert.equal(usage?.model, 'gemini-3.8-flash');
    assert.ok(usage.tokens.prompt > 0 && usage.tokens.output > 0);
  });

  test('is one artifact of data, not streamed, when a schema is set', async () => {
    const responseSchema = {
      type: 'object',
      properties: { emails: { type: 'array', items: { type: 'string' } } },
    };
    const turn = new MemoryTurn({
      message: 'Write to ann@x.example and bob@x.example.',
      definition: { ...definition, responseSchema },
    });
    assert.deepEqual(await offline.createAgent().run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.equal(turn.updates.length, 1);
    assert.deepEqual(turn.artifacts[0]?.parts, [
      { data: { emails: ['ann@x.example', 'bob@x.example'] }, mediaType: 'application/json' },
    ]);
    assert.deepEqual(offline.requests[0]?.generationConfig?.responseJsonSchema, responseSchema);
  });
});

describe('a function call', () => {
  /** Answers with these calls, and then with text. */
  function respondWith(...calls: Part[]): void {
    offline.responder = ({ contents }) => ({
      pieces: contents.at(-1)?.parts?.some((part) => part.functionResponse) ? [{ text: 'done' }] : calls,
    });
  }
  const getSentCalls = () => offline.requests[1]?.contents.at(-2)?.parts;
  const runWithTool = async (more: JsonObject = {}) => {
    const lookup = createTool('lookup', async () => 'it');
    const turn = new MemoryTurn({ message: 'go', definition: { ...definition, ...more } });
    const outcome = await offline.createAgent({ tools: [lookup] }).run(turn);
    assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
    return lookup;
  };

  for (const prefix of ['default_api:', 'default_api.']) {
    test(`is made without the prefix ${prefix} of its name`, async () => {
      respondWith({ functionCall: { name: `${prefix}lookup`, args: {} }, thoughtSignature: 'c2ln' });
      assert.equal((await runWithTool()).calls.length, 1);
      assert.equal(getSentCalls()?.[0]?.functionCall?.name, 'lookup');
    });
  }

  test('without a signature is sent back with the documented placeholder', async () => {
    const call = { functionCall: { name: 'lookup', args: {} } };
    respondWith(call, call);
    await runWithTool();
    assert.deepEqual(
      getSentCalls()?.map(({ thoughtSignature }) => thoughtSignature),
      ['skip_thought_signature_validator', undefined],
    );
  });

  test('keeps the signatures that it came with', async () => {
    respondWith({ functionCall: { name: 'lookup', args: {} }, thoughtSignature: 'c2ln' });
    await runWithTool();
    assert.equal(getSentCalls()?.[0]?.thoughtSignature, 'c2ln');
  });
});

describe("Gemini's own tools", () => {
  const groundingMetadata = {
    webSearchQueries: ['tides'],
    groundingChunks: [{ web: { uri: 'https://x.example' } }],
  };
  const withOwnTools = {
    ...definition,
    tools: ['ask_user', 'google_search', 'url_context', 'code_execution'],
  };
  const draw = async (vertexai: boolean) => {
    offline.responder = () => ({
      pieces: [
        { text: 'Computed: ' },
        { executableCode: { language: Language.PYTHON, code: 'print(6*7)' } },
        { codeExecutionResult: { outcome: Outcome.OUTCOME_OK, output: '42' } },
        { inlineData: { mimeType: 'image/png', data: 'aGk=' } },
        { text: 'as drawn.' },
      ],
      groundingMetadata,
    });
    const turn = new MemoryTurn({ message: 'draw', definition: withOwnTools });
    const outcome = await offline.createAgent({ client: { ...offline.client, vertexai } }).run(turn);
    assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
    return { request: offline.requests[0], artifacts: turn.artifacts };
  };

  for (const vertexai of [false, true]) {
    test(`add parts and metadata to the answer ${vertexai ? 'on Vertex AI' : 'on the Developer API'}`, async () => {
      const { artifacts } = await draw(vertexai);
      const executableCode = { language: 'PYTHON', code: 'print(6*7)' };
      const codeExecutionResult = { outcome: 'OUTCOME_OK', output: '42' };
      assert.deepEqual(artifacts, [
        {
          artifactId: 'answer',
          name: 'Answer',
          parts: [
            { text: 'Computed: ' },
            { data: { executableCode }, mediaType: 'application/json' },
            { data: { codeExecutionResult }, mediaType: 'application/json' },
            { raw: 'aGk=', mediaType: 'image/png' },
            { text: 'as drawn.' },
          ],
          metadata: { groundingMetadata },
        },
      ]);
    });
  }

  test('are requested by name', async () => {
    const { request } = await draw(false);
    const [functions, ...others] = request?.tools ?? [];
    assert.equal(functions?.functionDeclarations?.[0]?.name, 'ask_user');
    assert.deepEqual(others, [{ googleSearch: {} }, { urlContext: {} }, { codeExecution: {} }]);
  });

  test('are requested together with functions by a setting of the Developer API', async () => {
    const { request } = await draw(false);
    assert.deepEqual(request?.toolConfig, { includeServerSideToolInvocations: true });
  });

  test('need no such setting on Vertex AI', async () => {
    const { request } = await draw(true);
    assert.equal(request?.toolConfig, undefined);
  });
});

describe('the tools of one reply', () => {
  const message = 'Use the tool lookup with {"key": "a"} and the tool clock with {"key": "b"}';
  const runBoth = async () => {
    const arrive = createBarrier();
    const wait = async ({ key }: JsonObject) => {
      await arrive();
      return `found ${JSON.stringify(key)}`;
    };
    const turn = new MemoryTurn({ message, definition });
    const tools = [createTool('lookup', wait), createTool('clock', wait)];
    assert.deepEqual(await offline.createAgent({ tools }).run(turn), { state: 'TASK_STATE_COMPLETED' });
    return turn;
  };

  test('run concurrently, each as a step', async () => {
    const turn = await runBoth();
    const answer = turn.getArtifactText('answer') ?? '';
    assert.match(answer, /lookup returned: found "a"\nclock returned: found "b"/);
    assert.deepEqual([...turn.steps.keys()].sort(), ['model#1', 'model#2', 'tool:clock#1', 'tool:lookup#1']);
  });

  test('are reported as progress', async () => {
    const turn = await runBoth();
    assert.deepEqual(turn.progressMessages, [
      'Calling lookup … (round 1, at most 20)',
      'Calling clock … (round 1, at most 20)',
    ]);
  });

  test('return to the model with the reply exactly as it was received', async () => {
    const turn = await runBoth();
    const [, reply, answers] = offline.requests[1]!.contents;
    const recorded = JSON.parse(turn.steps.get('model#1')!.result) as { content: Content };
    assert.deepEqual(reply, recorded.content);
    assert.ok(reply?.parts?.[0]?.thoughtSignature);
    assert.deepEqual(
      answers?.parts?.map((part) => part.functionResponse?.id),
      reply.parts.map((part) => part.functionCall?.id),
    );
  });

  test('turn the text before them into progress, and show no thoughts', async () => {
    const functionCall = { name: 'lookup', args: {} };
    const reactions = [{ thought: 'hm', chunks: ['I will ', 'look.'], functionCall }];
    offline.model.script([{ match: 'go', reactions }]);
    const turn = new MemoryTurn({ message: 'go', definition });
    await offline.createAgent({ tools: [createTool('lookup', async () => 'it')] }).run(turn);
    assert.deepEqual(turn.progressMessages, ['I will look.', 'Calling lookup … (round 1, at most 20)']);
    assert.equal(turn.getArtifactText('answer'), 'lookup returned: it\n\n(reported by the offline model)');
    assert.ok(!JSON.stringify(turn.updates).includes('hm'));
    assert.equal(offline.requests[0]?.contents[1]?.parts?.[0]?.thought, true);
  });

  test('report their errors, and unknown names, to the model', async () => {
    const functionCall = [{ name: 'broken' }, { name: 'nothing' }];
    offline.model.script([{ match: 'go', reactions: [{ functionCall }] }]);
    const broken = createTool('broken', () => Promise.reject(new Error('no such key')));
    const turn = new MemoryTurn({ message: 'go', definition });
    const outcome = await offline.createAgent({ tools: [broken] }).run(turn);
    assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
    assert.match(
      turn.getArtifactText('answer') ?? '',
      /broken failed: no such key\nnothing failed: The function nothing is not declared/,
    );
  });

  test('end the turn when the lease is lost', async () => {
    offline.model.script([{ match: 'go', reactions: [{ functionCall: { name: 'lost' } }] }]);
    const lost = createTool('lost', () => Promise.reject(new LeaseLostError('taken over')));
    const running = offline.createAgent({ tools: [lost] }).run(new MemoryTurn({ message: 'go', definition }));
    await assert.rejects(running, LeaseLostError);
  });
});

describe('loadAgent', () => {
  const getSecret = () => undefined;
  const resolve = (name: string) => new URL(`../../support/agents/${name}`, import.meta.url).pathname;
  const load = (agentModule: string) => loadAgent({ getSecret, agentModule, gemini: offline.client });

  test('loads the agent of a module', async () => {
    const agent = await load(resolve('echo.ts'));
    assert.deepEqual(await agent.run(new MemoryTurn({ message: 'hi', definition })), { direct: 'hi' });
  });

  test('loads Gemini without a module', async () => {
    const agent = await loadAgent({ getSecret, gemini: offline.client });
    assert.equal(typeof agent.run, 'function');
  });

  test('lets Gemini poll, cancel and delete calls at Google', async () => {
    const asked = new Set<string>();
    const read = (what: string) => async () => {
      asked.add(what);
      return [];
    };
    const everyMs = 1;
    const agent = await loadAgent({
      getSecret,
      gemini: offline.client,
      calls: {
        polls: { everyMs, claim: read('due'), report: async () => undefined },
        abandoned: { everyMs, read: read('abandoned'), close: async () => undefined },
        stored: {
          everyMs,
          claim: read('stored'),
          forget: async () => undefined,
          recordUndeleted: async () => false,
        },
        batches: { ...createMemoryBatches(1), claim: read('batches') },
      },
    });
    agent.open!();
    await waitFor('all of them', () => asked.size === 4);
    await agent.close!();
  });

  test('refuses a module that exports no agent', async () => {
    await assert.rejects(load(resolve('memory-turn.ts')), /is not an agent: its default export/);
  });

  test('names a module that does not exist', async () => {
    await assert.rejects(load('/nowhere.ts'), /AGENT_MODULE \/nowhere\.ts cannot be loaded/);
  });

  test('names the missing credentials', async () => {
    await assert.rejects(loadAgent({ getSecret, gemini: {} }), /set GEMINI_API_KEY/);
  });
});
