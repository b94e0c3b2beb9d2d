/** Calls of other agents that are busy, and messages that an earlier run of the turn may have sent. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import type { RecordedStep } from '#shared/db/turns/turn-content.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { AgentWait } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { CallOptions } from '#services/worker/agent/agent.ts';
import { BusyError, type RemoteAgent, type RemoteTask } from '#services/worker/agent/remote/agent.ts';
import { Calls } from '#services/worker/turn/calls/calls.ts';
import type { CallParts } from '#services/worker/turn/calls/parts.ts';
import type { Mirror } from '#services/worker/turn/relay/mirror.ts';
import type { RelayedCall } from '#services/worker/turn/relay/relayed-call.ts';
import { TurnRecord } from '#services/worker/turn/record.ts';
import type { OpenWait, Waits } from '#services/worker/turn/waits.ts';

const done: RemoteTask = {
  id: 'remote-1',
  contextId: 'c',
  state: 'TASK_STATE_COMPLETED',
  message: [{ text: 'done' }],
  extensions: [],
  artifacts: [],
};
const busy = new BusyError('busy', 30);

/** A turn that calls an agent whose requests answer in order, and are logged with the waits between them. */
function createCalls(
  answers: {
    send?: (Error | RemoteTask | 'silent')[];
    find?: (string | undefined)[];
    get?: (Error | RemoteTask | 'lost')[];
  },
  { earlier, ageSeconds = 0 }: { earlier?: Partial<AgentWait>; ageSeconds?: number } = {},
) {
  const log: string[] = [];
  const kept: AgentWait[] = [];
  const take = <T>(name: string, from: (Error | T)[] = []): T => {
    log.push(name);
    const answer = from.shift();
    if (answer === undefined && name !== 'find') assert.fail(`unexpected ${name}`);
    if (answer instanceof Error) throw answer;
    return answer as T;
  };
  const remote: RemoteAgent = {
    describe: async () => undefined,
    send: async (_message, signal) => {
      const task = take('send', answers.send);
      if (task !== 'silent') return { task, notifies: false };
      await once(signal, 'abort');
      throw signal.reason;
    },
    find: async () => {
      const taskId = take('find', answers.find);
      return taskId === undefined ? undefined : { taskId, notifies: false };
    },
    get: async () => {
      const task = take('get', answers.get);
      return task === 'lost' ? undefined : task;
    },
    cancel: async () => void log.push('cancel'),
    follow: async () => undefined,
    readCard: async () => ({}),
  };
  const recorded: RecordedStep[] =
    earlier === undefined
      ? []
      : [
          {
            name: 'call:peer',
            occurrence: 0,
            position: 0,
            inputHash: null,
            output: null,
            finished: false,
            wait: {
              wait: { kind: 'agent', agent: 'peer', ...earlier },
              token: 't',
              dueInSeconds: 0,
              startedSecondsAgo: ageSeconds,
              endedSecondsAgo: 0,
            },
          },
        ];
  const record = new TurnRecord(recorded);
  const open = { since: new Date(databaseNow() - ageSeconds * 1000), dueAt: 0 } as OpenWait;
  const waits = {
    run: (work: () => Promise<unknown>) => work(),
    reach: (name: string) => record.reach(name, null),
    open: async () => open,
    close: () => undefined,
    reopen: (wait: OpenWait, ms: number) => (wait.dueAt = performance.now() + ms),
    untilDue: async ({ dueAt }: OpenWait) => {
      const seconds = Math.round((dueAt - performance.now()) / 1000);
      if (seconds > 0) log.push(`wait ${seconds}`);
    },
  };
  const parts: CallParts = {
    held: {
      lease: { taskId: uuidv7(), turn: 1, fence: 1 },
      signal: new AbortController().signal,
      assertHeld: async () => undefined,
    } as unknown as CallParts['held'],
    releaseSignal: new AbortController().signal,
    remote: { open: async () => remote },
    agents: { peer: { url: 'http://peer.test', timeoutSeconds: 60, maxOutputChars: 100 } },
    maxHops: 8,
    metadata: {},
    waits: waits as unknown as Waits,
    publicUrl: undefined,
    store: async () => undefined,
    replace: async (_step, { wait }) => void kept.push(wait),
    record: async () => undefined,
  };
  const call = async (options?: CallOptions, relay?: RelayedCall) =>
    new Calls(parts).call('peer', 'hi', options, relay);
  return { call, log, kept };
}

/** How a gateway calls: `log` has what is shown. */
function createRelay(log: string[], first: Partial<RelayedCall['first']> = {}): RelayedCall {
  let resends = 0;
  const mirror = {
    shown: { artifacts: {} },
    get resends() {
      return resends;
    },
    show: async () => false,
    finish: async () => void log.push('finish'),
    flush: async () => undefined,
    lose: async () => {
      resends += 1;
      log.push('lose');
    },
  };
  return {
    first: { shown: { artifacts: {} }, ...first },
    maxResends: 1,
    message: { more: {}, acceptedOutputModes: [], requestMetadata: {} },
    openMirror: () => mirror as unknown as Mirror,
  };
}

describe('a task that the other agent has lost', () => {
  const earlier = { task: 'remote-1', shown: { artifacts: {} } };

  test('fails the call of an agent in code', async () => {
    const { call, log } = createCalls({ get: ['lost'] }, { earlier });
    const { status, message } = await call();
    assert.equal(status, 'failed');
    assert.match(message[0]?.text ?? '', /no longer has the task remote-1\.$/);
    assert.deepEqual(log, ['get']);
  });

  test('is started again by a gateway, a bounded number of times', async () => {
    const working = { ...done, state: 'TASK_STATE_WORKING' } as const;
    const { call, log } = createCalls({ get: ['lost', 'lost'], send: [working] }, { earlier });
    const { status, message } = await call({}, createRelay(log));
    assert.equal(status, 'failed');
    assert.match(message[0]?.text ?? '', /lose them when they restart\. The message was sent 2 times\.$/);
    assert.deepEqual(
      log.filter((entry) => !entry.startsWith('wait')),
      ['get', 'lose', 'find', 'send', 'get'],
    );
  });

  test('is not started again by a message that continues it', async () => {
    const continues = { ...earlier, continues: 'remote-1' };
    const { call, log } = createCalls({ get: ['lost'] }, { earlier: continues });
    assert.equal((await call({}, createRelay(log))).status, 'failed');
    assert.deepEqual(log, ['get']);
  });
});

describe('a message that continues a task', () => {
  test('does not end with the question that it answers', async () => {
    const asking = { ...done, state: 'TASK_STATE_INPUT_REQUIRED' } as const;
    const { call, log } = createCalls({ send: [asking], get: [done] });
    assert.equal((await call({ taskId: 'remote-1' })).status, 'completed');
    assert.deepEqual(
      log.filter((entry) => !entry.startsWith('wait')),
      ['send', 'get'],
    );
  });
});

describe('a call of an agent that is busy', () => {
  test('is sent again after the time that the agent has named', async () => {
    const { call, log, kept } = createCalls({ send: [busy, done] });
    assert.equal((await call()).status, 'completed');
    assert.deepEqual(log, ['send', 'wait 30', 'send']);
    const waited = Date.parse(kept[0]?.busyUntil ?? '') - databaseNow();
    assert.ok(waited > 25_000 && waited <= 30_000, `${waited} ms`);
  });

  test('is polled again after that time', async () => {
    const { call, log } = createCalls({ get: [busy, done] }, { earlier: { task: 'remote-1' } });
    assert.equal((await call()).status, 'completed');
    assert.deepEqual(log, ['get', 'wait 30', 'get']);
  });

  test('makes no request before that time when the turn runs again', async () => {
    const busyUntil = new Date(databaseNow() + 20_000).toISOString();
    const unsent = createCalls({ send: [done] }, { earlier: { busyUntil } });
    await unsent.call();
    assert.deepEqual(unsent.log, ['wait 20', 'find', 'send']);
    const sent = createCalls({ get: [done] }, { earlier: { busyUntil, reported: 'remote-1' } });
    await sent.call();
    assert.deepEqual(sent.log, ['wait 20', 'get']);
  });

  test('waits no longer than its timeout', async () => {
    const early = createCalls({ get: [busy, done] }, { earlier: { task: 'remote-1' }, ageSeconds: 50 });
    assert.equal((await early.call()).status, 'completed');
    assert.deepEqual(early.log, ['get', 'wait 10', 'get']);
    const late = createCalls({ get: [busy] }, { earlier: { task: 'remote-1' }, ageSeconds: 61 });
    assert.equal((await late.call()).status, 'timed_out');
    assert.deepEqual(late.log, ['get', 'cancel']);
  });
});

describe('a message that is not answered', () => {
  test(
    'is left when the time of the call is over, and its task is canceled',
    { timeout: 10_000 },
    async () => {
      const { call, log } = createCalls({ send: ['silent'], find: ['remote-1'] });
      const { status, taskId } = await call({ timeoutSeconds: 1 });
      assert.deepEqual([status, taskId], ['timed_out', 'remote-1']);
      assert.deepEqual(log, ['send', 'find', 'cancel']);
    },
  );
});

describe('a message that an earlier run may have sent', () => {
  test('is not sent again if a task shows it', async () => {
    const { call, log, kept } = createCalls({ find: ['remote-1'], get: [done] }, { earlier: {} });
    assert.equal((await call()).taskId, 'remote-1');
    assert.deepEqual(log, ['find', 'get']);
    assert.equal(kept[0]?.task, 'remote-1');
  });

  test('is sent again if no task shows it, and not while the agent is unavailable', async () => {
    const { call, log } = createCalls({ find: [undefined], send: [done] }, { earlier: {} });
    assert.equal((await call()).status, 'completed');
    assert.deepEqual(log, ['find', 'send']);
    const away = createCalls({ find: [new RetryableError('away') as never] }, { earlier: {} });
    await assert.rejects(away.call(), RetryableError);
    assert.deepEqual(away.log, ['find']);
  });
});
