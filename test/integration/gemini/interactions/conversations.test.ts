/**
 * Conversations through the Interactions API: turns, tasks and function calls continue what Google has stored, and send
 * their history if it has not.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { StoredReplyRow } from '#shared/db/models/stored-replies.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { HistoryEntry } from '#services/worker/agent/agent.ts';
import { createCallReply, createTextReply } from '#services/local/offline-model/reply.ts';
import { Crash, MemoryTurn } from '../../../support/agents/memory-turn.ts';
import type { MemoryTurnOptions } from '../../../support/agents/memory-turn-options.ts';
import {
  createTool,
  definitionWithoutTools,
  getOutcomeMessage,
  useOfflineModel,
} from '../use-offline-model.ts';

const offline = useOfflineModel();
const withModel = (model: JsonObject): JsonObject => ({
  ...definitionWithoutTools,
  model: { name: 'gemini-3.8-flash', api: 'interactions', background: 'always', ...model },
});
const definition = withModel({ temperature: 0.5 });
const completed = { state: 'TASK_STATE_COMPLETED' };
const list = () => offline.model.interactions.list();

/** The model answers with the whole conversation as it knows it. */
function repeatConversation(): void {
  offline.responder = ({ contents }) =>
    createTextReply(
      contents
        .flatMap(({ role, parts = [] }) => (role === 'user' ? parts.map(({ text = '' }) => text) : [role!]))
        .join(', '),
    );
}

async function say(turn: MemoryTurn): Promise<string | undefined> {
  assert.deepEqual(await offline.createAgent().run(turn), completed);
  return turn.getArtifactText(turn.number === 1 ? 'answer' : `answer-${turn.number}`);
}

const getInputTypes = (index: number) =>
  (list().at(index)!.request.input as { type: string }[]).map(({ type }) => type);
const countUploads = () =>
  list().filter(({ request }) => request.previous_interaction_id === undefined).length;

describe('the turns of a task', () => {
  test('continue the stored interaction, and send only what is new', async () => {
    repeatConversation();
    const first = new MemoryTurn({ message: 'one', definition });
    assert.equal(await say(first), 'one');
    assert.equal(await say(first.next('two')), 'one, model, two');
    const { request } = list()[1]!;
    assert.deepEqual(request.input, [{ type: 'user_input', content: [{ type: 'text', text: 'two' }] }]);
    assert.deepEqual(
      [request.system_instruction, request.generation_config],
      [list()[0]!.request.system_instruction, { temperature: 0.5 }],
      'what applies to one call is sent with each',
    );
  });

  test('answer the same with one more upload if all replies expire after five of ten', async () => {
    repeatConversation();
    const talk = async (afterTurn: (number: number) => void): Promise<(string | undefined)[]> => {
      const answers: (string | undefined)[] = [];
      let turn = new MemoryTurn({ message: 'turn 1', definition });
      for (;;) {
        answers.push(await say(turn));
        if (turn.number === 10) return answers;
        afterTurn(turn.number);
        turn = turn.next(`turn ${turn.number + 1}`);
      }
    };
    const expected = await talk(() => undefined);
    assert.equal(countUploads(), 1);
    offline.model.reset();
    let expired = 0;
    const answers = await talk((number) => {
      if (number !== 5) return;
      expired = countUploads();
      for (const { id } of list()) offline.model.interactions.expire(id);
    });
    assert.deepEqual(answers, expected);
    assert.deepEqual([expired, countUploads()], [1, 1], 'one before the expiry, one after it');
  });

  for (const status of [400, 404]) {
    test(`send their history when the stored interaction is refused with ${status}`, async () => {
      repeatConversation();
      const first = new MemoryTurn({ message: 'one', definition });
      await say(first);
      offline.model.interactions.fail({ method: 'create', status, times: 1 });
      assert.equal(await say(first.next('two')), 'one, model, two');
      assert.deepEqual(getInputTypes(-1), ['user_input', 'model_output', 'user_input']);
    });
  }

  test('fail if the request is refused without the stored interaction too', async () => {
    const first = new MemoryTurn({ message: 'one', definition });
    await say(first);
    offline.model.interactions.fail({ method: 'create', status: 400, times: 2 });
    await assert.rejects(offline.createAgent().run(first.next('two')), /The model refused the request/);
  });

  test('send their history when another task has answered in between', async () => {
    repeatConversation();
    const first = new MemoryTurn({ message: 'one', definition });
    await say(first);
    const other: HistoryEntry[] = [
      { taskId: 'other', turn: 1, role: 'user', parts: [{ text: 'aside' }] },
      { taskId: 'other', turn: 1, role: 'agent', parts: [{ text: 'an answer' }] },
    ];
    const { history } = first.next('two');
    assert.equal(
      await say(first.next('two', { history: [...other, ...history] })),
      'aside, model, one, model, two',
    );
    assert.equal(countUploads(), 2);
  });
});

describe('the tasks of a context', () => {
  /** Completes a task, and returns what the next task of the context is given. */
  async function completeTask(
    earlier: readonly HistoryEntry[] = [],
  ): Promise<Pick<MemoryTurnOptions, 'taskId' | 'history' | 'storedReplies'>> {
    const turn = new MemoryTurn({ taskId: 'before', message: 'one', definition, history: [...earlier] });
    const text = await say(turn);
    const { result } = turn.steps.get('model#1')!;
    const { base, interaction } = JSON.parse(result) as { base: number; interaction: string };
    assert.ok(result.endsWith(`"base":${base},"interaction":"${interaction}"}`), 'as the database reads it');
    return {
      taskId: 'after',
      history: [
        ...earlier,
        { taskId: 'before', turn: 1, role: 'user', parts: [{ text: 'one' }] },
        { taskId: 'before', turn: 1, role: 'agent', parts: [{ text: text! }] },
      ],
      storedReplies: { before: { interaction, model: 'gemini-3.8-flash', base } },
    };
  }

  test('continue the reply that completed the task before', async () => {
    repeatConversation();
    const before = await completeTask();
    const turn = new MemoryTurn({ ...before, message: 'two', definition });
    assert.equal(await say(turn), 'one, model, two');
    assert.equal(await say(turn.next('three')), 'one, model, two, model, three');
    assert.deepEqual(
      [getInputTypes(1), getInputTypes(2), countUploads()],
      [['user_input'], ['user_input'], 1],
    );
  });

  const unfit: Record<string, (reply: StoredReplyRow) => StoredReplyRow | undefined> = {
    'is not stored at Google': () => undefined,
    'is of another model': (reply) => ({ ...reply, model: 'gemini-3.1-pro-preview' }),
    'knows more than there is now': (reply) => ({ ...reply, base: 2 }),
    'lacks a part of the conversation': (reply) => ({ ...reply, base: null }),
    'has expired': (reply) => ({ ...reply, interaction: 'v1_expired' }),
  };
  for (const [reason, change] of Object.entries(unfit)) {
    test(`send their history if that reply ${reason}`, async () => {
      repeatConversation();
      const { storedReplies, ...before } = await completeTask();
      const reply = change(storedReplies!['before']!);
      const known: Record<string, StoredReplyRow> = reply === undefined ? {} : { before: reply };
      const turn = new MemoryTurn({ ...before, message: 'two', definition, storedReplies: known });
      assert.equal(await say(turn), 'one, model, two');
      assert.deepEqual(getInputTypes(-1), ['user_input', 'model_output', 'user_input']);
    });
  }

  test('send their history if an earlier answer has changed since that reply', async () => {
    repeatConversation();
    const draft: HistoryEntry[] = [
      { taskId: 'first', turn: 1, role: 'user', parts: [{ text: 'aside' }] },
      { taskId: 'first', turn: 1, role: 'agent', parts: [{ text: 'a draft' }] },
    ];
    const { history = [], ...before } = await completeTask(draft);
    await say(new MemoryTurn({ ...before, history, message: 'two', definition }));
    assert.deepEqual(getInputTypes(-1), ['user_input'], 'nothing has changed');
    const final: HistoryEntry = { ...draft[1]!, parts: [{ text: 'the answer' }] };
    const changed = [draft[0]!, final, ...history.slice(2)];
    await say(new MemoryTurn({ ...before, taskId: 'later', history: changed, message: 'two', definition }));
    assert.equal(getInputTypes(-1).length, 5);
  });

  test('send their history if Google may store nothing', async () => {
    repeatConversation();
    const before = await completeTask();
    const storedReplies = {
      get before(): StoredReplyRow {
        return assert.fail('it is not read');
      },
    };
    const storeNothing = withModel({ background: 'never', store: false });
    const turn = new MemoryTurn({ ...before, storedReplies, message: 'two', definition: storeNothing });
    assert.equal(await say(turn), 'one, model, two');
  });
});

describe('function calls', () => {
  test('of five rounds run once each although the worker dies behind every record', async () => {
    const rounds = 5;
    offline.responder = ({ contents }) => {
      const results = contents.flatMap(({ parts = [] }) =>
        parts.flatMap((part) => part.functionResponse ?? []),
      );
      if (results.length < 2 * rounds)
        return createCallReply(
          [1, 2].map((n) => ({ name: `tool_${n}`, args: { key: `${results.length}` } })),
        );
      return createTextReply(results.map(({ response }) => JSON.stringify(response)).join(' '));
    };
    const tools = [1, 2].map((n) => createTool(`tool_${n}`, async () => n));
    const records = Array.from({ length: rounds }, (_, index) => index + 1).flatMap((round) => [
      `interaction#${round}`,
      `model#${round}`,
      `tool:tool_1#${round}`,
      `tool:tool_2#${round}`,
    ]);
    let steps = new Map() as MemoryTurn['steps'];
    let deaths = 0;
    for (const crashAfter of [...records, `interaction#${rounds + 1}`, `model#${rounds + 1}`]) {
      // Both tools run at the same time, so the second one may have been recorded before the death.
      if (steps.has(crashAfter)) continue;
      const turn = new MemoryTurn({ message: 'go', definition, steps, crashAfter });
      await assert.rejects(offline.createAgent({ tools }).run(turn), Crash);
      ({ steps } = turn);
      deaths += 1;
    }
    assert.ok(deaths >= 3 * rounds + 2, `${deaths} deaths`);
    const turn = new MemoryTurn({ message: 'go', definition, steps });
    assert.deepEqual(await offline.createAgent({ tools }).run(turn), completed);
    assert.equal(turn.getArtifactText('answer'), '{"output":1} {"output":2} '.repeat(rounds).trim());
    assert.deepEqual(
      list().map(({ status }) => status),
      [...Array<string>(rounds).fill('requires_action'), 'completed'],
    );
    for (const [index, { request }] of list().entries()) {
      assert.equal(request.previous_interaction_id, list()[index - 1]?.id);
      const types = (request.input as { type: string }[]).map(({ type }) => type);
      assert.deepEqual(types, index === 0 ? ['user_input'] : ['function_result', 'function_result']);
    }
    assert.equal(tools[0]!.calls.length, rounds);
    // It was running at a death behind the record of the first one.
    assert.ok(tools[1]!.calls.length <= 2 * rounds, `${tools[1]!.calls.length} calls`);
  });

  const asking = { ...definition, tools: ['ask_user'] };
  /** The model asks, and repeats the answer. */
  function askOnce(): void {
    offline.responder = ({ contents }) => {
      const answers = contents.flatMap(({ parts = [] }) =>
        parts.flatMap((part) => part.functionResponse ?? []),
      );
      if (answers.length === 0) return createCallReply([{ name: 'ask_user', args: { question: 'Which?' } }]);
      return createTextReply(`You said ${JSON.stringify(answers[0]?.response)}`);
    };
  }

  test('wait for an approval, and continue with the id of the interaction', async () => {
    askOnce();
    const first = new MemoryTurn({ message: 'go', definition: asking });
    assert.equal(getOutcomeMessage(await offline.createAgent().run(first)), 'Which?');
    const second = first.next('this');
    assert.deepEqual(await offline.createAgent().run(second), completed);
    assert.equal(second.getArtifactText('answer'), 'You said {"answer":"this"}');
    assert.equal(list()[1]!.request.previous_interaction_id, list()[0]!.id);
  });

  test('are sent with their signatures when the stored interaction has expired', async () => {
    askOnce();
    const first = new MemoryTurn({ message: 'go', definition: asking });
    assert.equal(getOutcomeMessage(await offline.createAgent().run(first)), 'Which?');
    offline.model.interactions.expire(list()[0]!.id);
    assert.deepEqual(await offline.createAgent().run(first.next('this')), completed);
    const input = list()[0]!.request.input as { type: string; signature?: string }[];
    const signature = /"thoughtSignature":"([^"]+)"/.exec(first.steps.get('model#1')!.result)?.[1];
    assert.equal(input.find(({ type }) => type === 'function_call')!.signature, signature);
    assert.match(Buffer.from(signature!, 'base64').toString(), /^offline:/);
  });
});
