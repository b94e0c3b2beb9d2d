/** Models, tools and embeddings of any supported version of the AI SDK, in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as ai from 'ai';
import { defineAgent, FatalError, type Agent, type Turn } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { assertReplays, createTask } from 'longhaul/testing';
import { z } from 'zod';
import { createModel, tokens, type Reply } from './scripted-model.ts';
import { major, specificationVersion } from './version.ts';

const replies: Reply[] = [
  {
    text: 'Let me look.',
    toolCalls: [
      { id: 'a', name: 'weather', input: { city: 'Paris' } },
      { id: 'b', name: 'weather', input: { city: 'Rome' } },
    ],
  },
  { text: 'Sunny in both.' },
];

interface Log {
  models: string[];
  tools: string[];
}

type Kind = 'generate' | 'stream';

/** An agent with two calls of the model and two parallel calls of a tool. */
function createAgent(kind: Kind, log: Log, more: { tool?: (city: string) => unknown } = {}): Agent {
  return defineAgent({
    run: (turn) => {
      const { model, tools, run } = durable(turn);
      const settings = {
        model: model(createModel({ reply: (n) => replies[n]!, onCall: (n) => log.models.push(`${n}`) })),
        tools: tools({
          weather: ai.tool({
            inputSchema: z.object({ city: z.string() }),
            execute: async ({ city }) => {
              log.tools.push(city);
              return more.tool === undefined ? { sky: 'sunny', seen: new Date(0) } : more.tool(city);
            },
          }),
        }),
        system: 'Be brief.',
        stopWhen: ai.stepCountIs(5),
      };
      return run(({ messages, abortSignal }) =>
        kind === 'stream'
          ? ai.streamText({ ...settings, messages, abortSignal })
          : ai.generateText({ ...settings, messages, abortSignal }),
      );
    },
  });
}

for (const kind of ['generate', 'stream'] as const) {
  describe(`${kind}Text`, () => {
    test('makes each call once if the worker dies after each step', async () => {
      const log: Log = { models: [], tools: [] };
      const task = createTask(createAgent(kind, log), 'How is the weather?');
      for (const crashAfter of ['model', 'tool:weather', 'model#2', 'messages']) {
        const run = await task.run({ crashAfter });
        assert.equal(run.end, 'crashed', String(run.error));
      }
      await task.run();
      assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
      assert.equal(task.getText('answer'), 'Sunny in both.');
      assert.deepEqual(log.models, ['0', '1']);
      // A call that is in flight at the crash is made once more.
      assert.deepEqual(log.tools.slice(0, 2), ['Paris', 'Rome']);
      assert.ok(log.tools.length <= 3, log.tools.join());
    });

    test('replays from every prefix of the record', async () => {
      await assertReplays(createAgent(kind, { models: [], tools: [] }), 'How is the weather?');
    });

    test('gives the model the same error of a tool when it runs again', async () => {
      const log: Log = { models: [], tools: [] };
      let runs = 0;
      const fail = (): never => {
        runs += 1;
        throw new Error(`failure ${runs}`);
      };
      const task = createTask(createAgent(kind, log, { tool: fail }), 'How is the weather?');
      await task.run({ crashAfter: 'model#2' });
      await task.run();
      assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
      assert.equal(runs, 2);
    });

    test('fails the task if a tool throws a FatalError', async () => {
      const fail = (): never => {
        throw new FatalError('The order is unknown.');
      };
      const task = createTask(createAgent(kind, { models: [], tools: [] }, { tool: fail }), 'How is it?');
      await task.run();
      assert.equal(task.messageText, 'The order is unknown.');
    });

    test('stops at the limits of the definition', async () => {
      const log: Log = { models: [], tools: [] };
      const spent = {
        message: 'How is it?',
        definition: { limits: { tokens: tokens.input + tokens.output } },
      };
      const task = createTask(createAgent(kind, log), spent);
      await task.run();
      assert.match(task.messageText, /limit of 15 tokens/);
      assert.deepEqual(log.models, ['0']);
      const few = createTask(createAgent(kind, log), {
        message: 'x',
        definition: { limits: { modelCalls: 1 } },
      });
      await few.run();
      assert.match(few.messageText, /limit of 1 model calls/);
    });
  });
}

test('matches calls that run side by side in another order', async () => {
  const log: Log = { models: [], tools: [] };
  let order = ['one', 'two'];
  const agent = defineAgent({
    run: async (turn: Turn) => {
      const { model } = durable(turn);
      const ask = async (name: string): Promise<string> => {
        const settings = {
          model: model(
            createModel({
              reply: (n, prompt) => ({ text: `${name} ${n} ${JSON.stringify(prompt).length}` }),
              onCall: () => log.models.push(name),
            }),
          ),
        };
        const first = await ai.generateText({ ...settings, prompt: name });
        return (await ai.generateText({ ...settings, prompt: `${name} ${first.text}` })).text;
      };
      // The first is slower in one of the runs.
      const started = order.map(
        async (name, index) => (index > 0 && (await sleep(2)), [name, await ask(name)]),
      );
      const answers = Object.fromEntries(await Promise.all(started)) as Record<string, string>;
      await turn.step('end', async () => null);
      return { state: 'TASK_STATE_COMPLETED', message: `${answers['one']} / ${answers['two']}` };
    },
  });
  const task = createTask(agent, 'go');
  await task.run({ crashAfter: 'model#4' });
  order = ['two', 'one'];
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.match(task.messageText, /^one 0 \d+ \/ two 0 \d+$/);
  assert.equal(log.models.length, 4);
});

test('embeds once', async () => {
  let calls = 0;
  const embedding = {
    specificationVersion,
    provider: 'scripted',
    modelId: 'vectors',
    maxEmbeddingsPerCall: 10,
    supportsParallelCalls: true,
    doEmbed: async ({ values }: { values: string[] }) => {
      calls += 1;
      return { embeddings: values.map((value) => [value.length]), usage: { tokens: 3 }, warnings: [] };
    },
  } as unknown as Exclude<ai.EmbeddingModel, string>;
  const agent = defineAgent({
    run: async (turn) => {
      const { embeddingModel } = durable(turn);
      const { embeddings } = await ai.embedMany({ model: embeddingModel(embedding), values: ['a', 'bcd'] });
      return { state: 'TASK_STATE_COMPLETED', message: JSON.stringify(embeddings) };
    },
  });
  const task = createTask(agent, 'embed');
  await task.run({ crashAfter: 'model' });
  await task.run();
  assert.equal(task.messageText, '[[1],[3]]');
  assert.equal(calls, 1);
});

test('stores a structured output as data', async () => {
  const output = 'Output' in ai ? ai.Output.object({ schema: z.object({ sky: z.string() }) }) : undefined;
  const agent = defineAgent({
    run: (turn) => {
      const { model, run } = durable(turn);
      const settings = { model: model(createModel({ reply: () => ({ text: '{"sky":"blue"}' }) })) };
      const named = major < 6 ? { experimental_output: output } : { output };
      return run(({ messages }) => ai.streamText({ ...settings, ...(named as object), messages }));
    },
  });
  const task = createTask(agent, 'how is the sky?');
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
  assert.deepEqual(task.artifacts[0]?.parts[0]?.data, { sky: 'blue' });
});

test('fails the task if a structured output is not valid', async () => {
  const output = 'Output' in ai ? ai.Output.object({ schema: z.object({ sky: z.string() }) }) : undefined;
  const agent = defineAgent({
    run: (turn) => {
      const { model, run } = durable(turn);
      const settings = { model: model(createModel({ reply: () => ({ text: 'It is blue.' }) })) };
      const named = major < 6 ? { experimental_output: output } : { output };
      return run(({ messages }) => ai.generateText({ ...settings, ...(named as object), messages }));
    },
  });
  const task = createTask(agent, 'how is the sky?');
  await task.run();
  assert.equal(task.messageText, 'The answer of the model is not the data that it should be.');
});

test('parks the turn while the model has no capacity', async () => {
  const refused = new ai.APICallError({
    message: 'busy',
    url: 'http://localhost',
    requestBodyValues: {},
    statusCode: 429,
    responseHeaders: { 'retry-after': '40' },
    isRetryable: false,
  });
  const agent = defineAgent({
    run: (turn) => {
      const { model, run } = durable(turn);
      const busy = model(createModel({ reply: () => ({ error: refused }) }));
      return run(({ messages }) => ai.generateText({ model: busy, messages, maxRetries: 0 }));
    },
  });
  const run = await createTask(agent, 'hello').run();
  assert.equal(run.end, 'retrying');
  assert.ok(run.delaySeconds! > 30 && run.delaySeconds! <= 40, String(run.delaySeconds));
});

test('passes the signal of the turn to the model', async () => {
  let seen: AbortSignal | undefined;
  const waiting = createModel({ reply: () => ({}) });
  const agent = defineAgent({
    definition: { name: 'x', description: 'x', limits: { stepSeconds: 1 } },
    run: (turn) => {
      const { model, run } = durable(turn);
      const slow = model({
        ...waiting,
        doGenerate: async ({ abortSignal }: { abortSignal: AbortSignal }) => {
          seen = abortSignal;
          await sleep(60_000, undefined, { signal: abortSignal });
        },
      } as unknown as typeof waiting);
      return run(({ messages }) => ai.generateText({ model: slow, messages, maxRetries: 0 }));
    },
  });
  const run = await createTask(agent, { message: 'hello', definition: { limits: { stepSeconds: 1 } } }).run();
  assert.equal(run.end, 'retrying');
  assert.equal(seen?.aborted, true);
});
