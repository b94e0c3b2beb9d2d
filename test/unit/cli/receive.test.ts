/** `longhaul webhooks receive`: verifies what it gets, counts by task, and refuses settings that cannot verify. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { createReceiver, type Received } from '#services/cli/receiver/receiver.ts';
import { Tally } from '#services/cli/receiver/tally.ts';
import { runCli } from '../../support/clients/cli.ts';
import { listen } from '../../support/network/listen.ts';

const secret = `whsec_${Buffer.alloc(32, 'test').toString('base64')}`;

async function start(t: TestContext) {
  const reported: Received[] = [];
  const url = await listen(
    t,
    createReceiver({ secret }, (received) => reported.push(received)),
  );
  const post = async (body: object, key = secret) => {
    const text = JSON.stringify(body);
    const [id, time] = ['msg_1', new Date()];
    const headers = {
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(time.getTime() / 1000)),
      'webhook-signature': new Webhook(key).sign(id, time, text),
    };
    return fetch(url, { method: 'POST', headers, body: text });
  };
  return { url, post, reported };
}

const update = { statusUpdate: { taskId: 't1', contextId: 'c', status: { state: 'TASK_STATE_WORKING' } } };
const ended = { task: { id: 't1', contextId: 'c', status: { state: 'TASK_STATE_COMPLETED' } } };

describe('the receiver', () => {
  test('accepts what is signed, and counts it by task', async (t) => {
    const { url, post, reported } = await start(t);
    const count = async () => (await fetch(`${url}/?task=t1`)).json();
    assert.deepEqual(await count(), { task: 't1', verified: 0, settled: false });
    assert.equal((await post(update)).status, 204);
    assert.deepEqual(await count(), { task: 't1', verified: 1, settled: false });
    assert.equal((await post(ended)).status, 204);
    assert.deepEqual(await count(), { task: 't1', verified: 2, settled: true });
    assert.deepEqual(
      reported.map(({ event }) => event?.type),
      ['status', 'task'],
    );
  });

  test('refuses what is not a signed webhook, and does not count it', async (t) => {
    const { url, post, reported } = await start(t);
    const other = `whsec_${Buffer.alloc(32, 'other').toString('base64')}`;
    assert.equal((await post(ended, other)).status, 401);
    assert.equal((await post({ no: 'event' })).status, 400);
    assert.equal((await fetch(url, { method: 'POST', body: '{}' })).status, 400);
    assert.equal((await fetch(url, { method: 'PUT', body: '{}' })).status, 405);
    assert.deepEqual(
      reported.map(({ problem }) => problem),
      [
        'No v1 signature matches.',
        'The body is not an event of A2A (expected statusUpdate, artifactUpdate or task).',
        'The header webhook-id is missing.',
      ],
    );
    assert.deepEqual(await (await fetch(`${url}/?task=t1`)).json(), {
      task: 't1',
      verified: 0,
      settled: false,
    });
  });

  test('forgets the oldest of more than a thousand tasks', () => {
    const tally = new Tally();
    for (let index = 0; index <= 1_000; index += 1) tally.add(`t${index}`, true);
    assert.deepEqual(tally.get('t0'), { verified: 0, settled: false });
    assert.deepEqual(tally.get('t1'), { verified: 1, settled: true });
  });
});

describe('longhaul webhooks receive', () => {
  test('needs one way to verify, and says which', async () => {
    const receive = (args: string[], env = {}) => runCli(['webhooks', 'receive', ...args], { env });
    for (const [args, env, expected] of [
      [[], {}, /expected either the secret of the webhook in WEBHOOK_SECRET, or --jwks/],
      [['--jwks', 'https://a.example/'], {}, /--jwks needs --address/],
      [[], { WEBHOOK_SECRET: 'short' }, /WEBHOOK_SECRET is not valid/],
    ] as const) {
      const { status, stderr } = await receive([...args], env);
      assert.deepEqual([status, expected.test(stderr)], [2, true], stderr);
    }
  });
});
