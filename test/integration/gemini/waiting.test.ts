/** Turns that end because the user has to say something, and the turns that go on after them. */
import { after, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import type { Content } from '@google/genai';
import { approvalExtension, type ApprovalRequest } from '#shared/agent/approval.ts';
import type { JsonObject, Part } from '#shared/domain/message.ts';
import { totalTokens } from '#shared/domain/usage.ts';
import { call, say, type Reply } from '#services/local/offline-model/reply.ts';
import { startOfflineModel } from '#services/local/offline-model/server.ts';
import type { TurnOutcome } from '#services/worker/agent/agent.ts';
import { CredentialsError } from '#services/worker/agent/errors.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import type { Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import { Crash, MemoryTurn } from '../../support/agents/memory-turn.ts';

/** What the model replies, one after the other, and each conversation as it got it. */
let replies: Reply[] = [];
let asked: Content[][] = [];
let called: string[] = [];
let hasCredentials = true;

const offline = await startOfflineModel({
  port: 0,
  responder({ contents }) {
    asked.push(contents);
    return replies.shift() ?? say('done');
  },
});
after(() => offline.close());
beforeEach(() => {
  replies = [];
  asked = [];
  called = [];
  hasCredentials = true;
});

function tool(name: string, more: Partial<Tool> = {}): Tool {
  return {
    declaration: { name, parametersJsonSchema: { type: 'object' } },
    call: async (args) => {
      called.push(`${name} ${JSON.stringify(args)}`);
      return `${name} was done`;
    },
    ...more,
  };
}

const agent = createGeminiAgent({
  client: { apiKey: 'any', baseUrl: offline.url },
  tools: [
    tool('look'),
    tool('remove', { confirm: true }),
    tool('mail', {
      call: async () => {
        called.push('mail');
        if (!hasCredentials) throw new CredentialsError('The mail tool needs credentials.');
        return 'sent';
      },
    }),
  ],
});

const definition: JsonObject = {
  name: 'Test',
  description: 'Tests.',
  version: '1',
  skills: [{ id: 'a', name: 'A', description: 'Does a.', tags: [] }],
  instruction: 'Be brief.',
};

const ask = (question: string) => ({ name: 'ask_user', args: { question } });

function withText(text: string, reply: Reply): Reply {
  return { ...reply, pieces: [{ text }, ...reply.pieces] };
}

function errorMessage(outcome: TurnOutcome): string {
  assert.ok('state' in outcome);
  const { message = '' } = outcome;
  return typeof message === 'string' ? message : (message[0]?.text ?? '');
}

function requestsOf(outcome: TurnOutcome): ApprovalRequest[] {
  assert.ok('state' in outcome && outcome.state === 'TASK_STATE_AUTH_REQUIRED', JSON.stringify(outcome));
  const data = (outcome.message[1] as Part).data as unknown as Record<
    string,
    { requests: ApprovalRequest[] }
  >;
  return data[approvalExtension]?.requests ?? [];
}

function decision(requests: readonly ApprovalRequest[], approve: boolean, more: object = {}): Part[] {
  const decisions = requests.map(({ id, argumentsHash }) => ({ id, argumentsHash, approve, ...more }));
  return [{ data: { [approvalExtension]: { decisions } } }];
}

const responsesIn = (content: Content | undefined) =>
  (content?.parts ?? []).map(({ functionResponse }) => functionResponse?.response);

test('questions, tools between them: every turn goes on with the conversation as it was, word by word', async () => {
  replies = [
    call([{ name: 'look', args: { at: 1 } }]),
    withText('I need two things.', call([ask('Which city?')])),
    call([{ name: 'look', args: { at: 2 } }]),
    call([ask('Which day?')]),
    say('Booked.'),
  ];
  const first = new MemoryTurn({ message: 'book', definition });
  const outcome = await agent.run(first);
  assert.deepEqual(outcome, {
    state: 'TASK_STATE_INPUT_REQUIRED',
    message: 'I need two things.\n\nWhich city?',
  });
  assert.deepEqual(first.artifacts, [], 'words before a question are no answer');
  const second = first.next('Oslo');
  assert.deepEqual(await agent.run(second), { state: 'TASK_STATE_INPUT_REQUIRED', message: 'Which day?' });
  const third = second.next([{ text: 'Monday' }, { raw: 'aGk=', mediaType: 'image/png' }]);
  assert.deepEqual(await agent.run(third), { state: 'TASK_STATE_COMPLETED' });
  assert.equal(third.textOfArtifact('answer'), 'Booked.', 'the answer to the whole task');
  assert.deepEqual(called, ['look {"at":1}', 'look {"at":2}'], 'nothing is called twice');

  const whole = asked.at(-1) ?? [];
  for (const earlier of asked) assert.deepEqual(whole.slice(0, earlier.length), earlier);
  assert.deepEqual(
    whole.map(({ role }) => role),
    ['user', 'model', 'user', 'model', 'user', 'model', 'user', 'model', 'user'],
  );
  const signatures = whole.flatMap(({ parts = [] }) => parts.flatMap((part) => part.thoughtSignature ?? []));
  assert.equal(new Set(signatures).size, 4);
  assert.deepEqual(responsesIn(whole[4]), [{ answer: 'Oslo' }]);
  assert.deepEqual(responsesIn(whole[8]), [{ answer: 'Monday' }, undefined]);
  assert.deepEqual(whole[8]?.parts?.[1], { inlineData: { mimeType: 'image/png', data: 'aGk=' } });
});

test('ask_user beside other calls: they run, and their results wait with the question', async () => {
  replies = [call([{ name: 'look', args: {} }, ask('Why?'), { name: 'nothing', args: {} }, ask('And how?')])];
  const first = new MemoryTurn({ message: 'go', definition });
  assert.equal(errorMessage(await agent.run(first)), 'Why?\n\nAnd how?');
  await agent.run(first.next('Because.'));
  assert.deepEqual(called, ['look {}']);
  assert.deepEqual(responsesIn(asked[1]?.[2]), [
    { output: 'look was done' },
    { answer: 'Because.' },
    { error: 'There is no function nothing. Declared: look, remove, mail.' },
    { answer: 'Because.' },
  ]);
});

test('tokens and cost count over all turns of a task, and are recorded with each step', async () => {
  const priced = { ...definition, prices: { 'gemini-3.8-flash': { input: 1000, output: 1000 } } };
  for (const limits of [{ tokens: 40 }, { cost: 0.04 }]) {
    replies = [call([ask('Which city?')]), call([{ name: 'look', args: {} }])];
    const first = new MemoryTurn({ message: 'book', definition: { ...priced, limits } });
    assert.equal(errorMessage(await agent.run(first)), 'Which city?');
    const step = first.steps.get('model#1')!;
    const usage = step.options.usage?.(JSON.parse(step.result) as JsonObject);
    const tokens = usage === undefined ? 0 : totalTokens(usage.tokens);
    assert.ok(tokens > 5 && tokens < 40, `${tokens}`);
    assert.equal(usage?.cost, tokens / 1000);
    assert.equal(usage.model, 'gemini-3.8-flash');
    const outcome = await agent.run(first.next('Oslo'));
    assert.ok('state' in outcome && outcome.state === 'TASK_STATE_FAILED');
    assert.match(errorMessage(outcome), /stopped at its limit of (40 tokens|a cost of 0\.04)\./);
    assert.equal(replies.length, 0, 'the second call was made, a third was not');
  }
});

test('a question without words is told to the model', async () => {
  replies = [call([{ name: 'ask_user', args: { question: ' ' } }])];
  await agent.run(new MemoryTurn({ message: 'go', definition }));
  assert.deepEqual(responsesIn(asked[1]?.[2]), [{ error: 'Not asked: the question is missing.' }]);
});

test('a tool to be confirmed waits; approved by its id and the hash of its arguments, it runs once', async () => {
  replies = [
    call([
      { name: 'remove', args: { file: 'a' } },
      { name: 'look', args: {} },
    ]),
  ];
  const first = new MemoryTurn({ message: 'clean up', definition });
  const outcome = await agent.run(first);
  assert.match(errorMessage(outcome), /asks for your approval to call:\n- remove \{"file":"a"\}/);
  assert.ok('state' in outcome && 'extensions' in outcome);
  assert.deepEqual(outcome.extensions, [approvalExtension]);
  assert.deepEqual(called, ['look {}']);
  const requests = requestsOf(outcome);
  assert.deepEqual(
    requests.map(({ tool, arguments: args }) => [tool, args]),
    [['remove', { file: 'a' }]],
  );
  const elsewhere = first.next(decision([{ ...requests[0]!, argumentsHash: 'other' }], true));
  assert.deepEqual(requestsOf(await agent.run(elsewhere)), requests, 'asked for again');
  assert.deepEqual(called, ['look {}']);

  const approved = elsewhere.next(decision(requests, true), { crashAfter: 'tool:remove#1' });
  await assert.rejects(agent.run(approved), Crash);
  const { message, history, earlierTurns, steps } = approved;
  const again = new MemoryTurn({
    message: message.parts,
    number: 3,
    definition,
    history,
    earlierTurns,
    steps,
  });
  assert.deepEqual(await agent.run(again), { state: 'TASK_STATE_COMPLETED' });
  assert.deepEqual(called, ['look {}', 'remove {"file":"a"}']);
  assert.deepEqual(responsesIn(asked[1]?.[2]), [{ output: 'remove was done' }, { output: 'look was done' }]);
  assert.equal(again.textOfArtifact('answer'), 'done');
});

// [AUTH-INTASK-004]
test('an approval holds for one call: the same call later is asked for again', async () => {
  const remove = call([{ name: 'remove', args: { file: 'a' } }]);
  replies = [remove, remove];
  const first = new MemoryTurn({ message: 'clean up', definition });
  const requests = requestsOf(await agent.run(first));
  const second = first.next(decision(requests, true));
  const later = requestsOf(await agent.run(second));
  assert.notEqual(later[0]?.id, requests[0]?.id);
  assert.deepEqual(requestsOf(await agent.run(second.next(decision(requests, true)))), later);
  assert.equal(called.length, 1);
});

test('refused, or answered with other words: the model is told, nothing is called', async () => {
  for (const [answer, error] of [
    [
      (requests: ApprovalRequest[]) => decision(requests, false, { reason: 'too risky' }),
      'The user refused this call. Reason: too risky',
    ],
    [() => [{ text: 'Use the other file.' }], 'Not approved. The user wrote instead: Use the other file.'],
  ] as const) {
    asked = [];
    replies = [call([{ name: 'remove', args: {} }])];
    const first = new MemoryTurn({ message: 'clean up', definition });
    const requests = requestsOf(await agent.run(first));
    assert.deepEqual(await agent.run(first.next(answer(requests))), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(responsesIn(asked[1]?.[2]), [{ error }]);
  }
  assert.deepEqual(called, []);
});

test('missing credentials: auth-required with the reason; the next message makes the call again, and it alone', async () => {
  replies = [
    call([
      { name: 'look', args: {} },
      { name: 'mail', args: {} },
    ]),
  ];
  hasCredentials = false;
  const first = new MemoryTurn({ message: 'write', definition });
  assert.deepEqual(await agent.run(first), {
    state: 'TASK_STATE_AUTH_REQUIRED',
    message: 'The mail tool needs credentials.',
  });
  const second = first.next('try now');
  assert.ok(errorMessage(await agent.run(second)).includes('needs credentials'));
  hasCredentials = true;
  assert.deepEqual(await agent.run(second.next('now it is set')), { state: 'TASK_STATE_COMPLETED' });
  assert.deepEqual(called, ['look {}', 'mail', 'mail', 'mail']);
  assert.deepEqual(
    asked.at(-1)?.[2]?.parts?.map((part) => part.text ?? part.functionResponse?.response),
    [{ output: 'look was done' }, { output: 'sent' }, 'now it is set'],
  );
});
