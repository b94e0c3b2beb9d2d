/**
 * Turns that end with a question, an approval request or missing credentials, and the turns that resume them.
 */
import { beforeEach, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import type { Content } from '@google/genai';
import { approvalExtension, type ApprovalRequest } from '#shared/agent/approval.ts';
import type { JsonObject, Part } from '#shared/domain/message.ts';
import { totalTokens } from '#shared/domain/usage.ts';
import { createCallReply, createTextReply, type Reply } from '#services/local/offline-model/reply.ts';
import type { Agent, CallOptions, CallResult, TurnOutcome } from '#services/worker/agent/agent.ts';
import type { RemoteAgent } from '#services/worker/agent/remote/agent.ts';
import { CredentialsError } from '#services/worker/agent/errors.ts';
import { minimalDefinition as definition } from '../../support/agents/definition.ts';
import { Crash, MemoryTurn } from '../../support/agents/memory-turn.ts';
import { createTool, getFailure, getOutcomeMessage, useOfflineModel } from './use-offline-model.ts';

const describedAgent: RemoteAgent = {
  describe: async () => ({ name: 'Weather', description: 'Knows the weather.', skills: [] }),
  send: async () => assert.fail('the turn in memory answers'),
  find: async () => undefined,
  get: async () => undefined,
  cancel: async () => undefined,
  follow: async () => undefined,
  readCard: async () => ({}),
};

const offline = useOfflineModel();
/** The replies of the model, in order; then it says "done". */
let replies: Reply[];
/** The calls of the tools, in order. */
let called: string[];
let hasCredentials: boolean;
let agent: Agent;

beforeEach(() => {
  replies = [];
  called = [];
  hasCredentials = true;
  offline.responder = () => replies.shift() ?? createTextReply('done');
  const createRecordingTool = (name: string, confirm = false) =>
    createTool(
      name,
      async (args) => {
        called.push(`${name} ${JSON.stringify(args)}`);
        return `${name} was done`;
      },
      { confirm },
    );
  const mail = createTool('mail', async () => {
    called.push('mail');
    if (!hasCredentials) throw new CredentialsError('The mail tool needs credentials.');
    return 'sent';
  });
  agent = offline.createAgent({
    tools: [createRecordingTool('look'), createRecordingTool('remove', true), mail],
  });
});

const ask = (question: string) => ({ name: 'ask_user', args: { question } });

function withText(text: string, reply: Reply): Reply {
  return { ...reply, pieces: [{ text }, ...reply.pieces] };
}

function getRequests(outcome: TurnOutcome): ApprovalRequest[] {
  assert.ok('state' in outcome && outcome.state === 'TASK_STATE_AUTH_REQUIRED', JSON.stringify(outcome));
  const data = (outcome.message[1] as Part).data as unknown as Record<
    string,
    { requests: ApprovalRequest[] }
  >;
  return data[approvalExtension]?.requests ?? [];
}

function decide(requests: readonly ApprovalRequest[], approve: boolean, more: object = {}): Part[] {
  const decisions = requests.map(({ id, argumentsHash }) => ({ id, argumentsHash, approve, ...more }));
  return [{ data: { [approvalExtension]: { decisions } } }];
}

const getResponses = (content: Content | undefined) =>
  (content?.parts ?? []).map(({ functionResponse }) => functionResponse?.response);

describe('a question of the model', () => {
  test('is resumed by later turns with the same conversation, word for word', async () => {
    replies = [
      createCallReply([{ name: 'look', args: { at: 1 } }]),
      withText('I need two things.', createCallReply([ask('Which city?')])),
      createCallReply([{ name: 'look', args: { at: 2 } }]),
      createCallReply([ask('Which day?')]),
      createTextReply('Booked.'),
    ];
    const first = new MemoryTurn({ message: 'book', definition });
    assert.deepEqual(await agent.run(first), {
      state: 'TASK_STATE_INPUT_REQUIRED',
      message: 'I need two things.\n\nWhich city?',
    });
    assert.deepEqual(first.artifacts, [], 'text before a question is not an answer');
    const second = first.next('Oslo');
    assert.deepEqual(await agent.run(second), { state: 'TASK_STATE_INPUT_REQUIRED', message: 'Which day?' });
    const third = second.next([{ text: 'Monday' }, { raw: 'aGk=', mediaType: 'image/png' }]);
    assert.deepEqual(await agent.run(third), { state: 'TASK_STATE_COMPLETED' });
    assert.equal(third.getArtifactText('answer'), 'Booked.', 'the answer to the whole task');
    assert.deepEqual(called, ['look {"at":1}', 'look {"at":2}'], 'nothing is called twice');

    const conversations = offline.requests.map(({ contents }) => contents);
    const whole = conversations.at(-1) ?? [];
    for (const earlier of conversations) assert.deepEqual(whole.slice(0, earlier.length), earlier);
    assert.deepEqual(
      whole.map(({ role }) => role),
      ['user', 'model', 'user', 'model', 'user', 'model', 'user', 'model', 'user'],
    );
    const signatures = whole.flatMap(({ parts = [] }) =>
      parts.flatMap((part) => part.thoughtSignature ?? []),
    );
    assert.equal(new Set(signatures).size, 4);
    assert.deepEqual(getResponses(whole[4]), [{ answer: 'Oslo' }]);
    assert.deepEqual(getResponses(whole[8]), [{ answer: 'Monday' }, undefined]);
    assert.deepEqual(whole[8]?.parts?.[1], { inlineData: { mimeType: 'image/png', data: 'aGk=' } });
  });

  test('waits together with the results of other calls', async () => {
    replies = [
      createCallReply([
        { name: 'look', args: {} },
        ask('Why?'),
        { name: 'nothing', args: {} },
        ask('And how?'),
      ]),
    ];
    const first = new MemoryTurn({ message: 'go', definition });
    assert.equal(getOutcomeMessage(await agent.run(first)), 'Why?\n\nAnd how?');
    await agent.run(first.next('Because.'));
    assert.deepEqual(called, ['look {}']);
    assert.deepEqual(getResponses(offline.requests[1]?.contents[2]), [
      { output: 'look was done' },
      { answer: 'Because.' },
      { error: 'The function nothing is not declared (declared functions: look, remove, mail).' },
      { answer: 'Because.' },
    ]);
  });

  test('is returned to the model as an error if it is empty', async () => {
    replies = [createCallReply([ask(' ')])];
    await agent.run(new MemoryTurn({ message: 'go', definition }));
    assert.deepEqual(getResponses(offline.requests[1]?.contents[2]), [
      { error: 'Not asked: the question is missing. Set "question" to a non-empty string.' },
    ]);
  });
});

describe('tokens and cost', () => {
  for (const [name, limits, message] of [
    ['tokens', { tokens: 40 }, /stopped at its limit of 40 tokens\./],
    ['cost', { cost: 0.04 }, /stopped at its limit of a cost of 0\.04\./],
  ] as const) {
    test(`are limited over all turns of a task: ${name}`, async () => {
      const prices = { 'gemini-3.8-flash': { input: 1000, output: 1000 } };
      replies = [createCallReply([ask('Which city?')]), createCallReply([{ name: 'look', args: {} }])];
      const first = new MemoryTurn({ message: 'book', definition: { ...definition, prices, limits } });
      assert.equal(getOutcomeMessage(await agent.run(first)), 'Which city?');
      const step = first.steps.get('model#1')!;
      const usage = step.options.usage?.(JSON.parse(step.result) as JsonObject);
      const tokens = usage === undefined ? 0 : totalTokens(usage.tokens);
      assert.ok(tokens > 5 && tokens < 40, `${tokens}`);
      assert.equal(usage?.cost, tokens / 1000);
      assert.equal(usage.model, 'gemini-3.8-flash');
      assert.match(getFailure(await agent.run(first.next('Oslo'))), message);
      assert.equal(replies.length, 0, 'the second call was made, a third was not');
    });
  }
});

describe('a call that needs approval', () => {
  const remove = { name: 'remove', args: { file: 'a' } };

  test('waits with a request that lists the call', async () => {
    replies = [createCallReply([remove, { name: 'look', args: {} }])];
    const outcome = await agent.run(new MemoryTurn({ message: 'clean up', definition }));
    assert.match(getOutcomeMessage(outcome), /asks for your approval to call:\n- remove \{"file":"a"\}/);
    assert.ok('state' in outcome && 'extensions' in outcome);
    assert.deepEqual(outcome.extensions, [approvalExtension]);
    assert.deepEqual(called, ['look {}']);
    assert.deepEqual(
      getRequests(outcome).map(({ tool, arguments: args }) => [tool, args]),
      [['remove', { file: 'a' }]],
    );
  });

  test('is requested again if the approved arguments differ', async () => {
    replies = [createCallReply([remove])];
    const first = new MemoryTurn({ message: 'clean up', definition });
    const requests = getRequests(await agent.run(first));
    const other = first.next(decide([{ ...requests[0]!, argumentsHash: 'other' }], true));
    assert.deepEqual(getRequests(await agent.run(other)), requests);
    assert.deepEqual(called, []);
  });

  test('runs once when it is approved, even if its worker crashes afterwards', async () => {
    replies = [createCallReply([remove, { name: 'look', args: {} }])];
    const first = new MemoryTurn({ message: 'clean up', definition });
    const requests = getRequests(await agent.run(first));
    const approved = first.next(decide(requests, true), { crashAfter: 'tool:remove#1' });
    await assert.rejects(agent.run(approved), Crash);
    const { message, number, history, earlierTurns, steps } = approved;
    const rerun = new MemoryTurn({
      message: message.parts,
      number,
      definition,
      history,
      earlierTurns,
      steps,
    });
    assert.deepEqual(await agent.run(rerun), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(called, ['look {}', 'remove {"file":"a"}']);
    assert.deepEqual(getResponses(offline.requests[1]?.contents[2]), [
      { output: 'remove was done' },
      { output: 'look was done' },
    ]);
    assert.equal(rerun.getArtifactText('answer'), 'done');
  });

  // [AUTH-INTASK-004]
  test('needs another approval when the model makes it again', async () => {
    replies = [createCallReply([remove]), createCallReply([remove])];
    const first = new MemoryTurn({ message: 'clean up', definition });
    const requests = getRequests(await agent.run(first));
    const second = first.next(decide(requests, true));
    const later = getRequests(await agent.run(second));
    assert.notEqual(later[0]?.id, requests[0]?.id);
    assert.deepEqual(getRequests(await agent.run(second.next(decide(requests, true)))), later);
    assert.equal(called.length, 1);
  });

  for (const [name, reply, error] of [
    [
      'refused with a reason',
      (requests: ApprovalRequest[]) => decide(requests, false, { reason: 'too risky' }),
      'The user refused this call. Reason: too risky',
    ],
    ['refused by a plain no', () => [{ text: ' No.\n' }], 'The user refused this call.'],
  ] as const) {
    test(`is not made, and the model learns why, when it is ${name}`, async () => {
      replies = [createCallReply([remove])];
      const first = new MemoryTurn({ message: 'clean up', definition });
      const requests = getRequests(await agent.run(first));
      assert.deepEqual(await agent.run(first.next(reply(requests))), { state: 'TASK_STATE_COMPLETED' });
      assert.deepEqual(getResponses(offline.requests[1]?.contents[2]), [{ error }]);
      assert.deepEqual(called, []);
    });
  }

  test('runs when a plain yes approves it', async () => {
    replies = [createCallReply([remove, { name: 'look', args: {} }])];
    const first = new MemoryTurn({ message: 'clean up', definition });
    assert.match(getOutcomeMessage(await agent.run(first)), /Reply "yes" or "no", or decide with/);
    assert.deepEqual(await agent.run(first.next('Yes!')), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(called, ['look {}', 'remove {"file":"a"}']);
    const answer = offline.requests[1]?.contents[2]?.parts ?? [];
    assert.equal(answer.length, 2, 'the word is not repeated to the model');
  });

  for (const [name, reply] of [
    ['other words', [{ text: 'Yes, but use the other file.' }]],
    ['a word with a file', [{ text: 'yes' }, { raw: 'aGk=', mediaType: 'image/png' }]],
    ['a file alone', [{ raw: 'aGk=', mediaType: 'image/png' }]],
  ] as [string, Part[]][]) {
    test(`is asked for again after ${name}, which reach the model later`, async () => {
      replies = [createCallReply([remove])];
      const first = new MemoryTurn({ message: 'clean up', definition });
      const requests = getRequests(await agent.run(first));
      const second = first.next(reply);
      const asked = await agent.run(second);
      assert.deepEqual(getRequests(asked), requests);
      assert.match(getOutcomeMessage(asked), /^Your message was neither an approval nor a refusal\./);
      assert.equal(offline.requests.length, 1, 'the model is not asked meanwhile');
      assert.deepEqual(await agent.run(second.next('no')), { state: 'TASK_STATE_COMPLETED' });
      const [refused, ...said] = offline.requests[1]?.contents[2]?.parts ?? [];
      assert.deepEqual(refused?.functionResponse?.response, { error: 'The user refused this call.' });
      assert.equal(said.length, reply.length);
      assert.deepEqual(called, []);
    });
  }

  test('is not decided by a plain word when several calls are pending', async () => {
    replies = [createCallReply([remove, { name: 'remove', args: { file: 'b' } }])];
    const first = new MemoryTurn({ message: 'clean up', definition });
    const requests = getRequests(await agent.run(first));
    const second = first.next('yes');
    assert.deepEqual(getRequests(await agent.run(second)), requests);
    const third = second.next(decide(requests.slice(0, 1), true));
    assert.deepEqual(getRequests(await agent.run(third)), requests.slice(1));
    assert.deepEqual(await agent.run(third.next('ok')), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(called, ['remove {"file":"a"}', 'remove {"file":"b"}']);
  });

  test('is not decided by the answer to a question next to it', async () => {
    replies = [createCallReply([remove, ask('Are you sure?')])];
    const first = new MemoryTurn({ message: 'clean up', definition });
    await agent.run(first);
    const second = first.next('yes');
    const outcome = await agent.run(second);
    assert.equal(getRequests(outcome).length, 1);
    assert.deepEqual(called, []);
    assert.deepEqual(await agent.run(second.next('approve')), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(getResponses(offline.requests[1]?.contents[2]), [
      { output: 'remove was done' },
      { answer: 'yes' },
    ]);
  });
});

describe('a call of another agent', () => {
  const withAgent = { ...definition, agents: { weather: { url: 'http://127.0.0.1:1', confirm: false } } };
  const answers: [string, string | undefined][] = [];
  const agents = {
    weather: (text: string, { taskId }: CallOptions): CallResult => {
      answers.push([text, taskId]);
      const state = { taskId: 'w-1', contextId: 'c-1', artifacts: [], complete: true } as const;
      if (text === 'Where?') return { ...state, status: 'refused', message: [{ text: 'Too short.' }] };
      return taskId === undefined
        ? { ...state, status: 'input_required', message: [{ text: 'Which city?' }, { data: { id: 1 } }] }
        : { ...state, status: 'completed', message: [{ text: 'Rain.' }, { data: { mm: 3 } }] };
    },
  };

  test('passes the question on to the user, and the answer to the other agent', async () => {
    answers.length = 0;
    replies = [
      createCallReply([
        { name: 'call_weather', args: { message: 'the weather' } },
        { name: 'look', args: {} },
        { name: 'call_weather', args: { message: '' } },
        { name: 'call_weather', args: { message: 'Where?' } },
      ]),
      createTextReply('It rains.'),
    ];
    agent = offline.createAgent({
      tools: [createTool('look', async () => 'seen')],
      remote: { open: async () => describedAgent },
    });
    const first = new MemoryTurn({ message: 'plan', definition: withAgent, agents });
    assert.deepEqual(await agent.run(first), {
      state: 'TASK_STATE_INPUT_REQUIRED',
      message: [{ text: 'The agent "weather" asks: Which city?' }, { data: { id: 1 } }],
    });
    const second = first.next('Oslo');
    assert.deepEqual(await agent.run(second), { state: 'TASK_STATE_COMPLETED' });
    assert.equal(second.getArtifactText('answer'), 'It rains.');
    assert.deepEqual(answers, [
      ['the weather', undefined],
      ['Where?', undefined],
      ['Oslo', 'w-1'],
    ]);
    assert.deepEqual(getResponses(offline.requests.at(-1)?.contents.at(-1)), [
      { output: { text: 'Rain.', data: [{ mm: 3 }], contextId: 'c-1' } },
      { output: 'seen' },
      { error: 'Not called: the message is missing. Set "message" to a non-empty string.' },
      { error: 'The agent "weather" was not called, or refused a request: Too short.' },
    ]);
    const declared = JSON.stringify(offline.requests[0]?.tools);
    assert.match(declared, /Sends a message to another agent, \\"Weather\\": Knows the weather\./);
  });
});

describe('a call without credentials', () => {
  test('waits with its reason, and only this call is repeated by the next message', async () => {
    replies = [
      createCallReply([
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
    assert.ok(getOutcomeMessage(await agent.run(second)).includes('needs credentials'));
    hasCredentials = true;
    assert.deepEqual(await agent.run(second.next('now it is set')), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(called, ['look {}', 'mail', 'mail', 'mail']);
    assert.deepEqual(
      offline.requests
        .at(-1)
        ?.contents[2]?.parts?.map((part) => part.text ?? part.functionResponse?.response),
      [{ output: 'look was done' }, { output: 'sent' }, 'try now', 'now it is set'],
    );
  });
});
