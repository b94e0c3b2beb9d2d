/** Streams over two processes of the front door, replays from a cursor, and lists in pages. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import { freePort } from '../support/ports.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';
import { isCompleted, startStack } from '../support/stack.ts';

const replay = 'https://longhaul.dev/ext/replay/v1';

interface Seen {
  id: number | undefined;
  // oxlint-disable-next-line typescript/no-explicit-any -- events are looked at field by field, as a client would
  data: any;
}

test('streams', async (t) => {
  const tool = await startReceiver(t);
  const stack = await startStack(t, {
    AGENT_MODULE: path.resolve('test/support/agents/scripted.ts'),
    TEST_LOG_URL: tool.url,
  });
  const otherPort = String(await freePort());
  const [, other] = await Promise.all([
    stack.start('api'),
    stack.start('api', { PORT: otherPort }),
    stack.start('worker'),
  ]);
  const doors = [stack.apiUrl, other.url];

  async function subscribe(
    id: string,
    headers: Record<string, string> = {},
    door = 0,
    wanted = Number.POSITIVE_INFINITY,
    begun = () => {},
  ): Promise<Seen[]> {
    const leave = new AbortController();
    const response = await fetch(`${doors[door]}/a2a/jsonrpc`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'SubscribeToTask', params: { id } }),
      signal: leave.signal,
    });
    if (!/event-stream/.test(response.headers.get('content-type') ?? '')) {
      return [{ id: undefined, data: await response.json() }];
    }
    const seen: Seen[] = [];
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
        const data = field('data');
        if (data === undefined) continue;
        seen.push({ id: Number(field('id')), data: JSON.parse(data) });
        begun();
        if (seen.length === wanted) {
          leave.abort();
          return seen;
        }
      }
    }
    return seen;
  }

  const story = 'progress one\nstream a b c d e f\nwait 300\nprogress two\nsay done';

  // [STREAM-ORDER-001] [STREAM-ORDER-002] [STREAM-ORDER-003]
  await t.test(
    'many streams on one task, on two processes, see the same events in the same order',
    async () => {
      const { id } = await stack.submit(story);
      const all = await Promise.all(
        Array.from({ length: 10 }, (_, index) => subscribe(id, { 'last-event-id': '1' }, index % 2)),
      );
      const ids = all[0]!.map((event) => event.id);
      assert.deepEqual(
        ids,
        ids.map((_, index) => index + 1),
      );
      for (const one of all) assert.deepEqual(one, all[0]);
    },
  );

  await t.test(
    'a stream that breaks off goes on with the event after the last, on the other process',
    async () => {
      // It is not at its end before the stream has begun.
      const begun = Promise.withResolvers<number>();
      tool.answerBy(() => begun.promise);
      const { id } = await stack.submit(story.replace('wait 300', 'step held'));
      const first = await subscribe(id, { 'a2a-extensions': replay }, 0, 3, () => begun.resolve(200));
      const last = first.at(-1)!.id!;
      const rest = await subscribe(id, { 'last-event-id': String(last) }, 1);
      assert.equal(rest[0]?.id, last);
      assert.ok(rest[0]?.data.result.task, 'the task as of that event');
      assert.deepEqual(
        rest.map((event) => event.id),
        rest.map((_, index) => last + index),
      );
      assert.match(JSON.stringify(rest.at(-1)?.data), /TASK_STATE_COMPLETED/);
      for (const { id: number, data } of rest) {
        const payload = Object.values(data.result)[0] as { metadata: Record<string, unknown> };
        assert.deepEqual(payload.metadata[replay], { event: number });
      }
    },
  );

  await t.test(
    'a replay of a task at its end tells its story and closes; a plain one is refused',
    async () => {
      const { id } = await stack.submit('ask well?');
      await stack.until(id, (task) => task.status.state === 'TASK_STATE_INPUT_REQUIRED');
      await stack.submit('say more\nsay done', { message: { taskId: id } });
      await stack.until(id, isCompleted);
      const told = await subscribe(id, { 'last-event-id': '1' });
      assert.deepEqual(
        told.map((event) => event.id),
        [1, 2, 3, 4, 5, 6, 7],
        'also beyond the time at which it waited for input',
      );
      assert.equal((await subscribe(id))[0]?.data.error.code, -32004);
      assert.equal((await subscribe(id, { 'last-event-id': '99' }))[0]?.data.error.code, -32602);
      assert.equal((await subscribe(id, { 'last-event-id': 'x' }))[0]?.data.error.code, -32602);
    },
  );

  // [CORE-LIST-002] [CORE-LIST-003] [CORE-LIST-004] [CORE-LIST-005]
  await t.test('lists come in pages, newest status first, each task once', async () => {
    const contextId = randomUUID();
    const made: string[] = [];
    for (let index = 0; index < 7; index++) {
      made.unshift((await stack.submit(`say ${index}`, { message: { contextId } })).id);
      await stack.until(made[0]!, isCompleted);
    }
    const found: string[] = [];
    let pageToken = '';
    do {
      const { result } = await stack.rpc('ListTasks', { contextId, pageSize: 3, pageToken });
      assert.equal(result.totalSize, 7);
      assert.ok(result.tasks.every((task: object) => !('artifacts' in task)));
      found.push(...result.tasks.map((task: { id: string }) => task.id));
      pageToken = result.nextPageToken;
    } while (pageToken !== '');
    assert.deepEqual(found, made);
    const { result } = await stack.rpc('ListTasks', { contextId, pageSize: 3 });
    const other = await stack.rpc('ListTasks', { pageSize: 3, pageToken: result.nextPageToken });
    assert.equal(other.error?.code, -32602, 'a token is of its query');
    const turned = `${result.nextPageToken.slice(0, -2)}AA`;
    assert.equal(
      (await stack.rpc('ListTasks', { contextId, pageSize: 3, pageToken: turned })).error?.code,
      -32602,
    );
    for (const [params, total] of [
      [{ contextId, status: 'TASK_STATE_COMPLETED' }, 7],
      [{ contextId, status: 'TASK_STATE_FAILED' }, 0],
      [{ contextId, statusTimestampAfter: new Date(Date.now() + 60_000).toISOString() }, 0],
    ] as const) {
      assert.equal((await stack.rpc('ListTasks', params)).result.totalSize, total);
    }
    const withArtifacts = await stack.rpc('ListTasks', { contextId, includeArtifacts: true });
    assert.equal(withArtifacts.result.tasks[0].artifacts[0].parts[0].text, '6');
  });
});
