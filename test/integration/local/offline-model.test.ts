import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, beforeEach, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  ApiError,
  GoogleGenAI,
  type Content,
  type GenerateContentConfig,
  type GenerateContentResponse,
} from '@google/genai';
import { createTextReply, type Reply } from '#services/local/offline-model/reply.ts';
import { startOfflineModel, type OfflineModel } from '#services/local/offline-model/server.ts';
import { waitFor } from '../../support/wait-for.ts';

const model = 'gemini-3.8-flash';
let offline: OfflineModel;
let ai: GoogleGenAI;

async function ask(contents: string | Content[], config: GenerateContentConfig = {}) {
  return ai.models.generateContent({ model, contents, config });
}

async function collectChunks(
  contents: string,
  config: GenerateContentConfig = {},
): Promise<GenerateContentResponse[]> {
  const chunks: GenerateContentResponse[] = [];
  for await (const chunk of await ai.models.generateContentStream({ model, contents, config }))
    chunks.push(chunk);
  return chunks;
}

const getStatus = ({ status }: Response): number => status;

const tools = [
  {
    functionDeclarations: [
      {
        name: 'lookup',
        parametersJsonSchema: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },
      },
      {
        name: 'get_weather',
        parametersJsonSchema: { type: 'object', properties: { city: { type: 'string' } } },
      },
      {
        name: 'ask_user',
        parametersJsonSchema: { type: 'object', properties: { question: { type: 'string' } } },
      },
    ],
  },
];

describe('offline model', () => {
  before(async () => {
    offline = await startOfflineModel({ port: 0 });
    ai = new GoogleGenAI({ vertexai: false, apiKey: 'any', httpOptions: { baseUrl: offline.url } });
  });
  beforeEach(() => offline.reset());
  after(() => offline.close());

  test('says that it is offline and how to use the real model', async () => {
    const { text } = await ask('Good morning');
    assert.match(text ?? '', /offline model.*“Good morning”.*GEMINI_API_KEY/s);
  });

  test('streams a summary, with usage and finish reason in the last event', async () => {
    const story =
      'Tasks run for hours. Workers run tasks and report the results of tasks. It rained. Clients hear when tasks end.';
    const chunks = await collectChunks(`Summarise this: ${story}`);
    assert.ok(chunks.length >= 4, `${chunks.length} chunks`);
    const text = chunks.map((chunk) => chunk.text ?? '').join('');
    assert.match(text, /Workers run tasks and report the results of tasks\./);
    assert.doesNotMatch(text, /It rained/);
    const last = chunks.at(-1);
    assert.equal(last?.candidates?.[0]?.finishReason, 'STOP');
    const usage = last?.usageMetadata;
    assert.ok((usage?.promptTokenCount ?? 0) > 0 && (usage?.candidatesTokenCount ?? 0) > 0);
    assert.equal(usage?.totalTokenCount, usage!.promptTokenCount! + usage!.candidatesTokenCount!);
    assert.equal(new Set(chunks.map((chunk) => chunk.responseId)).size, 1);
  });

  for (const [question, answer] of [
    ['What is 6 times 7?', '6 * 7 = 42'],
    ['What is 12 * (3 + 4)?', '12 * (3 + 4) = 84'],
    ['2 + 3 * 4 ^ 2', '= 50'],
    ['Calculate -(2 - 5) * 1,000 / 8', '-(2 - 5) * 1,000 / 8 = 375'],
    ['How much is 15% of 200?', '= 30'],
    ['Compute 0.1 + 0.2', '0.1 + 0.2 = 0.3'],
    ['What is 1 / 0?', 'undefined'],
  ] as const) {
    test(`calculates ${question}`, async () => {
      const { text } = await ask(question);
      assert.ok(text?.includes(answer), text);
    });
  }

  test('works for as long as it is asked to', async () => {
    const startedAt = performance.now();
    const chunks = await collectChunks('Please work for 1 second.');
    assert.ok(performance.now() - startedAt >= 1_000);
    assert.equal(chunks.map((chunk) => chunk.text ?? '').join(''), '1 … done.');
  });

  test('does not calculate with the parts of a date', async () => {
    const { text } = await ask('What is 2026-03-04?');
    assert.doesNotMatch(text ?? '', /2019/);
  });

  for (const kind of ['responseSchema', 'responseJsonSchema'] as const) {
    test(`fills the fields of a ${kind}`, async () => {
      const upper = kind === 'responseSchema';
      const type = (name: string) => (upper ? name.toUpperCase() : name);
      const schema = {
        type: type('object'),
        properties: {
          customer_name: { type: type('string') },
          email: { type: type('string') },
          total: { type: type('number') },
          due_date: { type: type('string'), format: 'date' },
          priority: { type: type('string'), enum: ['low', 'high'] },
          emails: { type: type('array'), items: { type: type('string') } },
          phone: upper ? { type: 'STRING', nullable: true } : { type: ['string', 'null'] },
        },
      };
      const { text } = await ask(
        'Invoice 17 for Ada Lovelace (ada@calc.example, bob@calc.example). Total: 42.50 EUR, due 2026-05-01, high priority.',
        { responseMimeType: 'application/json', [kind]: schema },
      );
      assert.deepEqual(JSON.parse(text ?? ''), {
        customer_name: 'Ada Lovelace',
        email: 'ada@calc.example',
        total: 42.5,
        due_date: '2026-05-01',
        priority: 'high',
        emails: ['ada@calc.example', 'bob@calc.example'],
        phone: null,
      });
    });
  }

  describe('functions', () => {
    const question: Content = {
      role: 'user',
      parts: [{ text: 'Use the tool lookup with {"key": "a } b"} and get_weather with {"city": "Oslo"}' }],
    };

    /** Asks the question and returns the content of the calls, and a content with their responses. */
    async function callFunctions() {
      const { functionCalls = [], candidates } = await ask([question], { tools });
      const responses: Content = {
        role: 'user',
        parts: functionCalls.map(({ id, name }) => ({
          functionResponse: { id: id!, name: name!, response: { output: `${name} done` } },
        })),
      };
      return { functionCalls, called: candidates![0]!.content!, responses };
    }

    test('calls several functions in one response', async () => {
      const { functionCalls } = await callFunctions();
      assert.deepEqual(
        functionCalls.map(({ name, args }) => ({ name, args })),
        [
          { name: 'lookup', args: { key: 'a } b' } },
          { name: 'get_weather', args: { city: 'Oslo' } },
        ],
      );
    });

    test('reports the responses of functions', async () => {
      const { called, responses } = await callFunctions();
      const { text } = await ask([question, called, responses], { tools });
      assert.match(text ?? '', /lookup returned: lookup done\nget_weather returned: get_weather done/);
    });

    test('refuses a call that is sent back without its thought signature', async () => {
      const { called, responses } = await callFunctions();
      const unsigned = {
        role: 'model',
        parts: called.parts!.map(({ functionCall }) => ({ functionCall: functionCall! })),
      };
      await assert.rejects(
        ask([question, unsigned, responses], { tools }),
        (error: ApiError) => error.status === 400 && error.message.includes('thought_signature'),
      );
    });

    test('refuses fewer responses than calls', async () => {
      const { called, responses } = await callFunctions();
      await assert.rejects(
        ask([question, called, { role: 'user', parts: responses.parts!.slice(1) }], { tools }),
        (error: ApiError) =>
          error.status === 400 && error.message.includes('number of function response parts'),
      );
    });

    test('asks the user through the function that is declared for it', async () => {
      const { functionCalls } = await ask('Ask me which city I live in.', { tools });
      assert.deepEqual(functionCalls?.[0]?.args, { question: 'Could you tell me which city you live in?' });
    });
  });

  test('asks the user in words if no function is declared for it', async () => {
    const { text } = await ask('Ask me which city I live in.');
    assert.equal(text, 'Could you tell me which city you live in?');
  });

  test('stops with MAX_TOKENS at maxOutputTokens', async () => {
    const { text, candidates } = await ask('Good morning', { maxOutputTokens: 5 });
    assert.equal(candidates?.[0]?.finishReason, 'MAX_TOKENS');
    assert.ok(text!.length <= 20);
  });

  test('counts tokens', async () => {
    assert.equal((await ai.models.countTokens({ model, contents: 'x'.repeat(40) })).totalTokens, 10);
  });

  test('lists its model', async () => {
    const listed = await ai.models.list();
    assert.equal(listed.page[0]?.name, `models/${model}`);
  });

  test('returns NOT_FOUND for a model that is not a Gemini model', async () => {
    await assert.rejects(
      ai.models.generateContent({ model: 'parrot-1', contents: 'hi' }),
      (error: ApiError) => error.status === 404 && error.message.includes('NOT_FOUND'),
    );
  });

  test('serves the paths of Vertex AI', async () => {
    const path = `/v1beta1/projects/p/locations/us-central1/publishers/google/models/${model}:generateContent`;
    const response = await fetch(new URL(path, offline.url), {
      method: 'POST',
      body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: '3 * 3' }] }] }),
    });
    const body = (await response.json()) as GenerateContentResponse;
    assert.match(body.candidates?.[0]?.content?.parts?.[0]?.text ?? '', /3 \* 3 = 9/);
  });

  describe('script', () => {
    test('returns scripted errors with RetryInfo in order, then normal replies', async () => {
      offline.script([
        { match: '5 + 5', reactions: [{ status: 429, retryDelay: '2s', retryAfter: 2 }, { status: 503 }] },
      ]);
      await assert.rejects(ask('5 + 5'), (error: ApiError) => {
        assert.ok(error instanceof ApiError && error.status === 429);
        const { details, status } = (
          JSON.parse(error.message) as { error: { status: string; details: { retryDelay: string }[] } }
        ).error;
        assert.equal(status, 'RESOURCE_EXHAUSTED');
        return details[0]?.retryDelay === '2s';
      });
      await assert.rejects(ask('5 + 5'), (error: ApiError) => error.status === 503);
      assert.match((await ask('5 + 5')).text ?? '', /= 10/);
      assert.deepEqual(
        offline.log().map((entry) => entry.status),
        [429, 503, 200],
      );
    });

    test('streams scripted texts after a scripted thought', async () => {
      offline.script([
        { match: 'texts', reactions: [{ chunks: ['one ', 'two'], chunkDelayMs: 1, thought: 'hm' }] },
      ]);
      const chunks = await collectChunks('texts');
      assert.deepEqual(
        chunks.slice(0, 3).map((chunk) => chunk.candidates?.[0]?.content?.parts?.[0]),
        [{ text: 'hm', thought: true }, { text: 'one ' }, { text: 'two' }],
      );
    });

    test('returns a scripted function call', async () => {
      offline.script([
        { match: 'call', reactions: [{ functionCall: { name: 'lookup', args: { key: 'k' } } }] },
      ]);
      assert.deepEqual((await ask('call')).functionCalls?.[0]?.args, { key: 'k' });
    });

    test('repeats the reactions of a rule with repeat', async () => {
      offline.script([
        { match: 'unsafe', reactions: [{ chunks: ['so'], finishReason: 'SAFETY' }], repeat: true },
      ]);
      for (const _ of [1, 2]) assert.equal((await ask('unsafe')).candidates?.[0]?.finishReason, 'SAFETY');
    });

    test('blocks a prompt', async () => {
      offline.script([{ match: 'blocked', reactions: [{ blockReason: 'PROHIBITED_CONTENT' }] }]);
      assert.equal((await ask('blocked')).promptFeedback?.blockReason, 'PROHIBITED_CONTENT');
    });

    test('returns an empty reply', async () => {
      offline.script([{ match: 'nothing', reactions: [{ empty: true }] }]);
      assert.equal((await ask('nothing')).text, undefined);
    });

    test('cuts a stream after the given number of chunks', async () => {
      offline.script([{ match: 'cut', reactions: [{ chunks: ['a', 'b', 'c'], dropAfterChunks: 2 }] }]);
      const seen: string[] = [];
      await assert.rejects(async () => {
        for await (const { text } of await ai.models.generateContentStream({ model, contents: 'cut' }))
          seen.push(text ?? '');
      });
      assert.deepEqual(seen, ['a', 'b']);
      assert.equal(offline.log().at(-1)?.aborted, false);
    });

    test('refuses an invalid script and names the position of the error', async () => {
      const response = await fetch(new URL('/__script', offline.url), {
        method: 'POST',
        body: JSON.stringify([{ match: 'x', reactions: [{ stauts: 429 }] }]),
      });
      assert.equal(response.status, 400);
      assert.match(await response.text(), /0\.reactions\.0/);
    });
  });

  test('logs a client that disconnects while it waits', { timeout: 60_000 }, async () => {
    offline.script([{ match: 'wait', reactions: [{ hang: true }] }]);
    const abort = new AbortController();
    const pending = ask('wait', { abortSignal: abort.signal });
    await waitFor('the request', () => offline.log().length > 0);
    abort.abort();
    await assert.rejects(pending, { name: 'AbortError' });
    await waitFor('the aborted entry', () => offline.log()[0]?.aborted);
  });

  test('keeps two thousand requests waiting at the same time', { timeout: 90_000 }, async (t) => {
    const reply = Promise.withResolvers<Reply>();
    let waiting = 0;
    const responder = (): Promise<Reply> => {
      waiting += 1;
      return reply.promise;
    };
    const patient = await startOfflineModel({ port: 0, responder });
    t.after(() => patient.close());
    const url = new URL(`/v1beta/models/${model}:generateContent`, patient.url);
    const body = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'hi' }] }] });
    const answers: Promise<number>[] = [];
    while (answers.length < 2000) {
      // A few at once: a client gives up on a connection that a busy machine accepts late.
      for (let n = 0; n < 200; n++) answers.push(fetch(url, { method: 'POST', body }).then(getStatus));
      await waitFor('the requests', () => waiting === answers.length);
    }
    reply.resolve(createTextReply('done'));
    assert.deepEqual([...new Set(await Promise.all(answers))], [200]);
  });

  test(
    'runs as a process, with its script and log over HTTP, until SIGTERM',
    { timeout: 60_000 },
    async () => {
      const main = new URL('../../../services/local/offline-model/main.ts', import.meta.url).pathname;
      const child = spawn(process.execPath, [main], {
        env: { PORT: '0' },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(child, 'exit');
      const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
      const ready = JSON.parse(line) as { severity: string; service: string; message: string; port: number };
      assert.deepEqual([ready.severity, ready.service, ready.message], ['INFO', 'offline-model', 'ready']);
      const base = `http://127.0.0.1:${ready.port}`;
      const rules = [{ match: 'hi', reactions: [{ chunks: ['scripted'] }] }];
      await fetch(`${base}/__script`, { method: 'POST', body: JSON.stringify(rules) });
      const remote = new GoogleGenAI({ vertexai: false, apiKey: 'any', httpOptions: { baseUrl: base } });
      assert.equal((await remote.models.generateContent({ model, contents: 'hi' })).text, 'scripted');
      const logged = (await (await fetch(`${base}/__log`)).json()) as { lastUserText: string }[];
      assert.deepEqual(
        logged.map((entry) => entry.lastUserText),
        ['hi'],
      );
      child.kill('SIGTERM');
      assert.deepEqual(await exited, [0, null]);
    },
  );
});
