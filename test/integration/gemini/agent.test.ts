import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { Language, Outcome, type Content } from '@google/genai';
import { FatalError, LeaseLostError, ParkedError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { respond } from '#services/local/offline-model/responder.ts';
import { startOfflineModel } from '#services/local/offline-model/server.ts';
import type { OfflineModel } from '#services/local/offline-model/server.ts';
import type { ScriptRule } from '#services/local/offline-model/script.ts';
import type { GenerateRequest } from '#services/local/offline-model/wire.ts';
import type { Agent, TurnOutcome } from '#services/worker/agent/agent.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import type { Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import { loadAgent } from '#services/worker/agent/load.ts';
import { Crash, MemoryTurn } from '../../support/agents/memory-turn.ts';

type Reaction = ScriptRule['reactions'][number];

let offline: OfflineModel;
let agent: Agent;
/** Every request's conversation, as the model got it. */
let asked: GenerateRequest[];
let called: { name: string; args: JsonObject; key: string }[];

const definition: JsonObject = {
  name: 'Test',
  description: 'Tests.',
  version: '1',
  skills: [{ id: 'a', name: 'A', description: 'Does a.', tags: [] }],
  instruction: 'Be brief.',
};

function tool(name: string, call: (args: JsonObject, signal: AbortSignal) => Promise<Json>): Tool {
  return {
    declaration: { name, parametersJsonSchema: { type: 'object', properties: { key: { type: 'string' } } } },
    call: async (args, { idempotencyKey, signal }) => {
      called.push({ name, args, key: idempotencyKey });
      return call(args, signal);
    },
  };
}

/** Both wait for each other: run one after the other, they would never end. */
function meeting(): () => Promise<void> {
  let waiting = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  return () => {
    waiting += 1;
    if (waiting === 2) resolve();
    return promise;
  };
}

function agentWith(...tools: Tool[]): Agent {
  return createGeminiAgent({
    client: { apiKey: 'any', baseUrl: offline.url },
    tools,
    backoff: { calls: 3, firstMs: 20, longestInPlaceMs: 500 },
  });
}

before(async () => {
  offline = await startOfflineModel({
    port: 0,
    responder(request) {
      asked.push(request);
      return respond(request);
    },
  });
  agent = agentWith();
});
beforeEach(() => {
  offline.reset();
  asked = [];
  called = [];
});
after(() => offline.close());

function errorMessage(outcome: TurnOutcome): string {
  assert.ok('state' in outcome && typeof outcome.message === 'string', JSON.stringify(outcome));
  return outcome.message;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test('the answer is streamed into one artifact and recorded with its usage', async () => {
  const turn = new MemoryTurn({ message: 'What is 12 * (3 + 4)?', definition: { ...definition, tools: [] } });
  assert.deepEqual(await agent.run(turn), { state: 'TASK_STATE_COMPLETED' });
  assert.match(turn.textOfArtifact('answer') ?? '', /12 \* \(3 \+ 4\) = 84/);
  assert.ok(turn.updates.length > 1);
  assert.deepEqual(
    turn.updates.map(({ append }) => append),
    turn.updates.map((_, index) => index > 0),
  );
  const step = turn.steps.get('model#1')!;
  const usage = step.options.usage?.(JSON.parse(step.result) as Json);
  assert.equal(usage?.model, 'gemini-3.8-flash');
  assert.ok(usage.tokens.prompt > 0 && usage.tokens.output > 0);
});

test('the definition of the task decides the request', async () => {
  const model = { name: 'gemini-3.5-flash', temperature: 0.5, maxOutputTokens: 500, thinkingLevel: 'low' };
  await agent.run(new MemoryTurn({ message: 'hello', definition: { ...definition, model, tools: [] } }));
  assert.equal(offline.log()[0]?.model, 'gemini-3.5-flash');
  assert.equal(asked[0]?.systemInstruction?.parts?.[0]?.text, 'Be brief.');
  assert.deepEqual(asked[0]?.generationConfig, {
    temperature: 0.5,
    maxOutputTokens: 500,
    thinkingConfig: { thinkingLevel: 'LOW' },
  });
  assert.equal(asked[0]?.tools, undefined);
  await assert.rejects(agent.run(new MemoryTurn({ message: 'x', definition: { name: 'x' } })), FatalError);
});

test('history, data and files reach the model', async () => {
  const turn = new MemoryTurn({
    message: [{ text: 'look' }, { data: { a: 1 } }, { raw: 'aGk=', mediaType: 'image/png' }],
    history: [
      { taskId: 't0', turn: 1, role: 'user', parts: [{ text: 'first' }] },
      { taskId: 't0', turn: 1, role: 'agent', parts: [{ text: 'second' }] },
      { taskId: 't0', turn: 1, role: 'agent', parts: [{ raw: 'aGk=', filename: 'plot.png' }] },
    ],
    definition,
  });
  await agent.run(turn);
  assert.deepEqual(asked[0]?.contents, [
    { role: 'user', parts: [{ text: 'first' }] },
    { role: 'model', parts: [{ text: 'second' }, { text: '[file plot.png]' }] },
    {
      role: 'user',
      parts: [{ text: 'look' }, { text: '{"a":1}' }, { inlineData: { mimeType: 'image/png', data: 'aGk=' } }],
    },
  ]);
});

test('two tools of one reply run at the same time; the conversation goes back as it came', async () => {
  const met = meeting();
  const wait = async ({ key }: JsonObject) => {
    await met();
    return `found ${JSON.stringify(key)}`;
  };
  const turn = new MemoryTurn({
    message: 'Use the tool lookup with {"key": "a"} and the tool clock with {"key": "b"}',
    definition,
  });
  const outcome = await agentWith(tool('lookup', wait), tool('clock', wait)).run(turn);
  assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
  assert.match(turn.textOfArtifact('answer') ?? '', /lookup returned: found "a"\nclock returned: found "b"/);
  assert.deepEqual(turn.told, [
    'Calling lookup … (round 1 of 20 at most)',
    'Calling clock … (round 1 of 20 at most)',
  ]);
  assert.deepEqual([...turn.steps.keys()].sort(), ['model#1', 'model#2', 'tool:clock#1', 'tool:lookup#1']);
  const [, said, answers] = asked[1]!.contents;
  const recorded = JSON.parse(turn.steps.get('model#1')!.result) as { content: Content };
  assert.deepEqual(said, recorded.content);
  assert.ok(said?.parts?.[0]?.thoughtSignature);
  assert.deepEqual(
    answers?.parts?.map((part) => part.functionResponse?.id),
    said.parts.map((part) => part.functionCall?.id),
  );
});

test('text before a tool call is progress: the artifact ends with the answer alone, thoughts nowhere', async () => {
  offline.script([
    {
      match: 'go',
      reactions: [
        { thought: 'hm', chunks: ['I will ', 'look.'], functionCall: { name: 'lookup', args: {} } },
      ],
    },
  ]);
  const turn = new MemoryTurn({ message: 'go', definition });
  await agentWith(tool('lookup', async () => 'it')).run(turn);
  assert.deepEqual(turn.told, ['I will look.', 'Calling lookup … (round 1 of 20 at most)']);
  assert.equal(turn.textOfArtifact('answer'), 'lookup returned: it\n\n(reported by the offline model)');
  assert.ok(!JSON.stringify(turn.updates).includes('hm'));
  assert.equal(asked[0]?.contents[1]?.parts?.[0]?.thought, true);
});

test('what a tool gets wrong is told to the model, an unknown tool too; a lost lease ends the turn', async () => {
  offline.script([
    { match: 'go', reactions: [{ functionCall: [{ name: 'broken' }, { name: 'nothing' }] }] },
    { match: 'lost', reactions: [{ functionCall: { name: 'lost' } }] },
  ]);
  const failing = agentWith(
    tool('broken', () => Promise.reject(new Error('no such key'))),
    tool('lost', () => Promise.reject(new LeaseLostError('taken over'))),
  );
  const turn = new MemoryTurn({ message: 'go', definition });
  assert.deepEqual(await failing.run(turn), { state: 'TASK_STATE_COMPLETED' });
  assert.match(
    turn.textOfArtifact('answer') ?? '',
    /broken failed: no such key\nnothing failed: There is no function/,
  );
  await assert.rejects(failing.run(new MemoryTurn({ message: 'lost', definition })), LeaseLostError);
});

test('run again after a crash between tools and answer: neither the model nor a tool is called twice', async () => {
  const first = new MemoryTurn({
    message: 'Use the tool lookup with {"key": "a"}',
    definition,
    crashAfter: 'tool:lookup#1',
  });
  const looking = agentWith(tool('lookup', async () => 'it'));
  await assert.rejects(looking.run(first), Crash);
  const again = new MemoryTurn({ message: first.message.parts, definition, steps: first.steps });
  assert.deepEqual(await looking.run(again), { state: 'TASK_STATE_COMPLETED' });
  assert.equal(called.length, 1);
  assert.equal(offline.log().length, 2);
  assert.deepEqual(again.told, []);
  assert.match(again.textOfArtifact('answer') ?? '', /lookup returned: it/);
});

test('run again after the answer was recorded, its last chunks lost: the artifact is made whole without a call', async () => {
  const first = new MemoryTurn({ message: 'hello', definition, crashAfter: 'model#1' });
  await assert.rejects(agent.run(first), Crash);
  const whole = first.textOfArtifact('answer')!;
  const updates = first.updates.slice(0, 2);
  const again = new MemoryTurn({ message: 'hello', definition, steps: first.steps, updates });
  assert.notEqual(again.textOfArtifact('answer'), whole);
  assert.deepEqual(await agent.run(again), { state: 'TASK_STATE_COMPLETED' });
  assert.equal(again.textOfArtifact('answer'), whole);
  assert.equal(offline.log().length, 1);
});

test('run again after a crash within the stream: one clean artifact', async () => {
  offline.script([{ match: 'tell', reactions: [{ chunks: ['half '], unfinished: true }] }]);
  const stop = new AbortController();
  const first = new MemoryTurn({ message: 'tell', definition, signal: stop.signal });
  const running = agent.run(first);
  await until(() => first.updates.length > 0);
  stop.abort(new Crash());
  await assert.rejects(running, Crash);
  const again = new MemoryTurn({ message: 'tell', definition, steps: first.steps, updates: first.updates });
  assert.deepEqual(await agent.run(again), { state: 'TASK_STATE_COMPLETED' });
  assert.doesNotMatch(again.textOfArtifact('answer') ?? '', /half/);
});

test("Gemini's own tools by name; what they made becomes parts and metadata of the answer", async () => {
  const groundingMetadata = {
    webSearchQueries: ['tides'],
    groundingChunks: [{ web: { uri: 'https://x.example' } }],
  };
  const seen: GenerateRequest[] = [];
  const model = await startOfflineModel({
    port: 0,
    responder(request) {
      seen.push(request);
      return {
        pieces: [
          { text: 'Computed: ' },
          { executableCode: { language: Language.PYTHON, code: 'print(6*7)' } },
          { codeExecutionResult: { outcome: Outcome.OUTCOME_OK, output: '42' } },
          { inlineData: { mimeType: 'image/png', data: 'aGk=' } },
          { text: 'as drawn.' },
        ],
        groundingMetadata,
      };
    },
  });
  const own = { ...definition, tools: ['ask_user', 'google_search', 'url_context', 'code_execution'] };
  for (const client of [{ apiKey: 'any' }, { apiKey: 'any', vertexai: true }]) {
    const searching = createGeminiAgent({ client: { ...client, baseUrl: model.url } });
    const turn = new MemoryTurn({ message: 'draw', definition: own });
    assert.deepEqual(await searching.run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(turn.artifacts, [
      {
        artifactId: 'answer',
        name: 'Answer',
        parts: [
          { text: 'Computed: ' },
          {
            data: { executableCode: { language: 'PYTHON', code: 'print(6*7)' } },
            mediaType: 'application/json',
          },
          {
            data: { codeExecutionResult: { outcome: 'OUTCOME_OK', output: '42' } },
            mediaType: 'application/json',
          },
          { raw: 'aGk=', mediaType: 'image/png' },
          { text: 'as drawn.' },
        ],
        metadata: { groundingMetadata },
      },
    ]);
  }
  await model.close();
  const [developer, vertex] = seen;
  const [functions, ...others] = developer?.tools ?? [];
  assert.equal(functions?.functionDeclarations?.[0]?.name, 'ask_user');
  assert.deepEqual(others, [{ googleSearch: {} }, { urlContext: {} }, { codeExecution: {} }]);
  assert.deepEqual(developer?.toolConfig, { includeServerSideToolInvocations: true });
  assert.equal(vertex?.toolConfig, undefined);
});

test('a schema gives data, not streamed; other JSON fails clearly', async () => {
  const responseSchema = {
    type: 'object',
    properties: { emails: { type: 'array', items: { type: 'string' } } },
  };
  const withSchema = { ...definition, responseSchema };
  const turn = new MemoryTurn({
    message: 'Write to ann@x.example and bob@x.example.',
    definition: withSchema,
  });
  assert.deepEqual(await agent.run(turn), { state: 'TASK_STATE_COMPLETED' });
  assert.deepEqual(turn.updates.length, 1);
  assert.deepEqual(turn.artifacts[0]?.parts, [
    { data: { emails: ['ann@x.example', 'bob@x.example'] }, mediaType: 'application/json' },
  ]);
  assert.deepEqual(asked[0]?.generationConfig?.responseJsonSchema, responseSchema);
  offline.script([{ match: 'x', reactions: [{ chunks: ['{"emails": '] }] }]);
  assert.deepEqual(await agent.run(new MemoryTurn({ message: 'x', definition: withSchema })), {
    state: 'TASK_STATE_FAILED',
    message: 'The answer of the model is not valid JSON.',
  });
});

test('errors that pass are tried again in place, as the server asks; a stream that is cut begins anew', async () => {
  offline.script([
    {
      match: '5 + 5',
      reactions: [
        { status: 429, retryDelay: '0.2s' },
        { chunks: ['wrong ', 'text'], dropAfterChunks: 1 },
      ],
    },
    { match: 'header', reactions: [{ status: 503, retryAfter: 30 }] },
  ]);
  const turn = new MemoryTurn({ message: '5 + 5', definition });
  assert.deepEqual(await agent.run(turn), { state: 'TASK_STATE_COMPLETED' });
  assert.equal(turn.textOfArtifact('answer'), '5 + 5 = 10\n\n(calculated by the offline model)');
  const [first, second] = offline.log();
  assert.ok(Date.parse(second!.time) - Date.parse(first!.time) >= 190, 'waits as RetryInfo says');
  assert.equal(offline.log().length, 3);

  const from = Date.now();
  await assert.rejects(agent.run(new MemoryTurn({ message: 'header', definition })), (error: unknown) => {
    assert.ok(error instanceof ParkedError);
    const wait = error.until.getTime() - from;
    assert.ok(wait >= 30_000 && wait < 40_000, `${wait} ms`);
    return true;
  });
});

for (const [what, reaction] of [
  ['429 without end', { status: 429 }],
  ['503 without end', { status: 503 }],
  ['a stream that ends too early', { chunks: ['a'], unfinished: true }],
] satisfies [string, Reaction][]) {
  test(`${what}: parked, nothing recorded`, async () => {
    offline.script([{ match: 'x', reactions: [reaction], repeat: true }]);
    const turn = new MemoryTurn({ message: 'x', definition });
    const from = Date.now();
    await assert.rejects(agent.run(turn), (error: unknown) => {
      assert.ok(error instanceof ParkedError, String(error));
      const wait = error.until.getTime() - from;
      return wait >= 5000 && wait <= 40_000;
    });
    assert.equal(offline.log().length, 3);
    assert.equal(turn.steps.size, 0);
  });
}

test('nobody listens: parked', async () => {
  const lonely = createGeminiAgent({
    client: { apiKey: 'any', baseUrl: 'http://127.0.0.1:1' },
    backoff: { calls: 2, firstMs: 1, longestInPlaceMs: 10 },
  });
  await assert.rejects(lonely.run(new MemoryTurn({ message: 'x', definition })), ParkedError);
});

for (const [status, scripted, expected] of [
  [400, 'The input token count exceeds the maximum.', /refused the request: The input token count exceeds/],
  [400, 'API key not valid. Please pass a valid API key.', /not permitted to use its model/],
  [401, 'secret-project has no access', /not permitted to use its model/],
  [403, 'secret-project has no access', /not permitted to use its model/],
  [404, undefined, /model "gemini-3.8-flash" is not available/],
] as const) {
  test(`${status} (${scripted ?? 'not found'}): fatal at once, in words for the client`, async () => {
    offline.script([
      { match: 'x', reactions: [{ status, ...(scripted && { message: scripted }) }], repeat: true },
    ]);
    await assert.rejects(agent.run(new MemoryTurn({ message: 'x', definition })), (error: unknown) => {
      assert.ok(error instanceof FatalError, String(error));
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /secret-project|\{/);
      return true;
    });
    assert.equal(offline.log().length, 1);
  });
}

test('blocked, unsafe, empty, malformed: failed with the reason', async () => {
  offline.script([
    { match: 'blocked', reactions: [{ blockReason: 'PROHIBITED_CONTENT' }] },
    { match: 'unsafe', reactions: [{ chunks: ['something bad'], finishReason: 'SAFETY' }] },
    // The hints have these words too, so that these two match the second call as well.
    { match: 'empty', reactions: [{ empty: true }], repeat: true },
    { match: 'malformed', reactions: [{ finishReason: 'MALFORMED_FUNCTION_CALL' }], repeat: true },
    { match: 'other', reactions: [{ finishReason: 'OTHER' }] },
  ]);
  for (const [text, message, calls] of [
    ['blocked', /refused the request: it has content that is prohibited/, 1],
    ['unsafe', /stopped its answer: its safety filters/, 1],
    ['empty', /empty answer, twice/, 2],
    ['malformed', /unreadable reply, twice \(MALFORMED_FUNCTION_CALL\)/, 2],
    ['other', /stopped without an answer \(OTHER\)/, 1],
  ] as const) {
    const turn = new MemoryTurn({ message: [{ text }, { text: 'last' }], definition });
    const before = offline.log().length;
    const outcome = await agent.run(turn);
    assert.ok('state' in outcome && outcome.state === 'TASK_STATE_FAILED', JSON.stringify(outcome));
    assert.match(errorMessage(outcome), message);
    assert.equal(offline.log().length - before, calls);
    assert.doesNotMatch(turn.textOfArtifact('answer') ?? '', /something bad/);
  }
});

test('one malformed call is forgiven', async () => {
  offline.script([{ match: '6 * 7', reactions: [{ finishReason: 'MALFORMED_FUNCTION_CALL' }] }]);
  const turn = new MemoryTurn({ message: '6 * 7', definition });
  assert.deepEqual(await agent.run(turn), { state: 'TASK_STATE_COMPLETED' });
  assert.match(JSON.stringify(asked[0]?.contents.at(-1)), /function call was malformed/);
});

test('MAX_TOKENS: what there is stays, marked as cut; nothing at all fails', async () => {
  offline.script([
    { match: 'long', reactions: [{ chunks: ['a long ', 'story'], finishReason: 'MAX_TOKENS' }] },
    { match: 'none', reactions: [{ finishReason: 'MAX_TOKENS' }] },
  ]);
  const turn = new MemoryTurn({ message: 'long', definition });
  const outcome = await agent.run(turn);
  assert.ok('state' in outcome && outcome.state === 'TASK_STATE_COMPLETED');
  assert.match(errorMessage(outcome), /cut at the limit/);
  assert.equal(turn.textOfArtifact('answer'), 'a long story');
  assert.deepEqual(turn.artifacts[0]?.metadata, { truncated: true, finishReason: 'MAX_TOKENS' });
  const none = await agent.run(new MemoryTurn({ message: 'none', definition }));
  assert.ok('state' in none && none.state === 'TASK_STATE_FAILED');
});

test(
  'limits end the turn with their name: calls of the model, of tools, time',
  { timeout: 60_000 },
  async () => {
    offline.script([
      { match: 'loop', reactions: [{ functionCall: { name: 'lookup' } }], repeat: true },
      { match: 'slow', reactions: [{ functionCall: { name: 'slow' } }] },
      { match: 'stuck', reactions: [{ hang: true }] },
    ]);
    const looping = agentWith(
      tool('lookup', async () => 'it'),
      tool('slow', (_, signal) => sleep(60_000, null, { signal })),
    );
    for (const [text, limits, message] of [
      ['loop', { modelCalls: 3 }, /limit of 3 calls of the model/],
      ['loop', { toolCalls: 2 }, /limit of 2 tool calls/],
      ['slow', { workSeconds: 1 }, /limit of 1 seconds of work/],
      ['stuck', { workSeconds: 1 }, /limit of 1 seconds of work/],
    ] as const) {
      const outcome = await looping.run(
        new MemoryTurn({ message: text, definition: { ...definition, limits } }),
      );
      assert.ok('state' in outcome && outcome.state === 'TASK_STATE_FAILED');
      assert.match(errorMessage(outcome), message);
    }
    await until(() => offline.log().at(-1)?.aborted === true);
  },
);

test('an abort reaches the model at once, and the worker as its reason', { timeout: 60_000 }, async () => {
  for (const reaction of [
    { hang: true },
    { chunks: ['a', 'b', 'c'], chunkDelayMs: 60_000 },
    { status: 429, retryDelay: '0.4s' },
  ]) {
    offline.reset();
    offline.script([{ match: 'wait', reactions: [reaction], repeat: true }]);
    const stop = new AbortController();
    const running = agent.run(new MemoryTurn({ message: 'wait', definition, signal: stop.signal }));
    await until(() => offline.log().length > 0);
    const from = performance.now();
    stop.abort(new LeaseLostError('cancelled'));
    await assert.rejects(running, LeaseLostError);
    if (!('status' in reaction)) await until(() => offline.log()[0]?.aborted === true);
    assert.ok(performance.now() - from < 10_000, 'nothing else ends before a minute');
  }
});

test("the same on Vertex AI's paths", async () => {
  const vertex = createGeminiAgent({
    client: { vertexai: true, apiKey: 'express', baseUrl: offline.url },
    tools: [tool('lookup', async () => 'it')],
  });
  const turn = new MemoryTurn({ message: 'Use the tool lookup with {"key": "a"}', definition });
  assert.deepEqual(await vertex.run(turn), { state: 'TASK_STATE_COMPLETED' });
  assert.match(turn.textOfArtifact('answer') ?? '', /lookup returned: it/);
});

test('loadAgent: a module, or Gemini; clear errors otherwise', async () => {
  const gemini = { apiKey: 'any', baseUrl: offline.url };
  const secretOf = () => undefined;
  const path = (name: string) => new URL(`../../support/agents/${name}`, import.meta.url).pathname;
  const echo = await loadAgent({ secretOf, agentModule: path('echo.ts'), gemini });
  const turn = new MemoryTurn({ message: 'hi', definition });
  assert.deepEqual(await echo.run(turn), { direct: 'hi' });
  assert.equal(typeof (await loadAgent({ secretOf, gemini })).run, 'function');
  await assert.rejects(
    loadAgent({ secretOf, agentModule: path('memory-turn.ts'), gemini }),
    /is not an agent: its default export/,
  );
  await assert.rejects(
    loadAgent({ secretOf, agentModule: '/nowhere.ts', gemini }),
    /AGENT_MODULE \/nowhere\.ts cannot be loaded/,
  );
  await assert.rejects(loadAgent({ secretOf, gemini: {} }), /set GEMINI_API_KEY/);
});
