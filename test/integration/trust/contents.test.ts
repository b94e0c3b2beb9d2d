/** Encrypted contents: no table has a byte of them at any time, and everything that reads them works. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import { readEvents } from '#shared/db/events/read.ts';
import { useContentKeys } from '#shared/db/contents/codec.ts';
import { openContents } from '#shared/db/contents/open.ts';
import { readRerunSource } from '#shared/db/reruns/source.ts';
import { getSchedule, putSchedule } from '#shared/db/schedules/store.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { readTaskAsOf } from '#shared/db/tasks/as-of.ts';
import { openFile, readFile, storeFile } from '#shared/db/tasks/files.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { readTimeline } from '#shared/db/tasks/timeline.ts';
import { answerCallback, readCallback } from '#shared/db/turns/waits/callbacks.ts';
import { createInputReader } from '#shared/db/turns/input/input.ts';
import { readTurnContent } from '#shared/db/turns/input/stored-input.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { exportCommand } from '#services/admin/export.ts';
import {
  createContentKey,
  encryptContents,
  searchTables,
  toContentsConfig,
  watchWrites,
} from '../../support/database/contents.ts';
import {
  claimTask,
  createStatePayload,
  newFollowUp,
  newMessage,
  newTask,
  newTurnEnd,
} from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

const marker = 'marker-of-a-secret';
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
const memory = { maxBytes: 1e9, take: async () => undefined };
const caller = { tenant: '', owner: 'key:ada' };

describe('encrypted contents', () => {
  let db: Db;
  let keys: string;
  before(async () => {
    ({ db } = await connectToTestDatabase());
  });
  beforeEach(() => {
    keys ??= createContentKey('one');
    encryptContents(db, keys);
  });
  after(() => useContentKeys(undefined));

  const assertHidden = async (when: string): Promise<void> =>
    assert.deepEqual(await searchTables(db, marker), [], when);

  async function accept(text = marker): Promise<string> {
    const task = newTask({
      ...caller,
      message: newMessage(text),
      metadata: JSON.stringify({ note: text }),
    });
    await createAccept(db, options)(task);
    return task.taskId;
  }

  const toMessage = (text: string) => ({
    messageId: text,
    role: 'ROLE_AGENT' as const,
    parts: [{ text: marker }],
  });

  test('are in no table at any time, and are read as they were written', async () => {
    const countWritten = await watchWrites(db);
    const taskId = await accept();
    await assertHidden('accepted');
    const { lease } = await claimTask(db, taskId);
    const write = createTurnWriter(db, options);
    const ids = { taskId, contextId: 'c' };
    const schema = { const: marker };
    const artifact = { artifactId: 'a', parts: [{ text: marker }] };
    const chunk = JSON.stringify({ artifactUpdate: { ...ids, artifact, append: false } });
    await write({
      lease,
      events: [
        { kind: 'artifact', payload: chunk, artifact: { artifactId: 'a', whole: JSON.stringify(artifact) } },
        { kind: 'artifact', payload: chunk.replaceAll('"a"', '"open"'), artifact: { artifactId: 'open' } },
        {
          kind: 'progress',
          payload: createStatePayload(ids, 'TASK_STATE_WORKING', toMessage('p')),
          statusMessage: JSON.stringify(toMessage('p')),
        },
      ],
      steps: [
        {
          name: 's',
          occurrence: 0,
          position: 0,
          inputHash: null,
          output: JSON.stringify({ result: marker }),
        },
        {
          name: 'callback',
          occurrence: 0,
          position: 1,
          inputHash: null,
          output: null,
          wait: { wait: { kind: 'callback', schema }, dueInSeconds: 60, token: 'token' },
        },
      ],
    });
    const result = JSON.stringify({ status: 'answered', body: marker });
    await answerCallback(db, options, { token: 'token', result });
    await storeFile(db, lease, {
      hash: 'h',
      mediaType: 'text/plain',
      filename: marker,
      content: Buffer.from(marker),
    });
    await assertHidden('working');
    const release = {
      kind: 'release',
      delaySeconds: 0,
      countAttempt: false,
      error: `${marker} failed`,
    } as const;
    await write({ lease, finish: release });
    await assertHidden('released');

    const again = await claimTask(db, taskId);
    assert.equal(again.lastError, `${marker} failed`);
    const input = await createInputReader(db, { recordBytes: 1e6 })(again, memory);
    assert.deepEqual(input.message.parts, [{ text: marker }]);
    assert.deepEqual(input.metadata, { note: marker });
    const stored = await readTurnContent(db, again.lease, {
      recordBytes: 1e6,
      memory,
      owner: 'ada',
    });
    assert.deepEqual(
      [stored.message, stored.metadata, stored.steps[0]?.output],
      [input.message, input.metadata, input.steps[0]?.output],
    );
    assert.deepEqual(
      input.steps.map(({ output }) => output),
      [{ result: marker }, { status: 'answered', body: marker }],
    );
    const callback = await readCallback(db, 'token');
    assert.deepEqual([callback?.state, callback?.wait], ['answered', { kind: 'callback', schema }]);
    for (const { steps } of [input, stored]) {
      assert.deepEqual(steps[1]?.wait?.wait, { kind: 'callback', schema });
    }
    const end = newTurnEnd(taskId, 'TASK_STATE_INPUT_REQUIRED', {
      payload: createStatePayload(ids, 'TASK_STATE_INPUT_REQUIRED', toMessage('end')),
      message: JSON.stringify(toMessage('end')),
      error: marker,
    });
    await write({ lease: again.lease, finish: end });
    await acceptFollowUp(db, options, newFollowUp(taskId, { ...caller, message: newMessage(marker) }));
    await assertHidden('continued');

    const snapshot = await readTaskSnapshot(db, caller, taskId, { includeHidden: true });
    const { history, artifacts, metadata } = snapshot!.task;
    assert.equal(history.length, 3);
    assert.ok(history.every(({ parts }) => JSON.stringify(parts).includes(marker)));
    assert.deepEqual(
      artifacts.map(({ artifactId, parts }) => [artifactId, parts]),
      [
        ['a', [{ text: marker }]],
        ['open', [{ text: marker }]],
      ],
    );
    assert.equal(metadata?.['note'], marker);
    const events = await readEvents(db, taskId, 2, 10);
    assert.equal(events.filter(({ payload }) => JSON.stringify(payload).includes(marker)).length, 4);
    const asOf = await readTaskAsOf(db, {
      taskId,
      owner: 'ada',
      seq: events.at(-1)!.seq,
      maxArtifactBytes: 1e6,
    });
    assert.deepEqual(asOf?.artifacts?.length, 2);
    const timeline = await readTimeline(db, caller, taskId);
    assert.equal(timeline?.lastError, marker);
    assert.ok(timeline.events.some(({ state }) => state === 'TASK_STATE_INPUT_REQUIRED'));
    assert.equal(timeline.turns[0]?.attempts[0]?.error, `${marker} failed`);
    const followUp = await claimTask(db, taskId);
    const next = await createInputReader(db, { recordBytes: 1e6 })(followUp, memory);
    const { exchanges, steps } = await next.readHistory(10);
    assert.ok(exchanges.every((exchange) => JSON.stringify(exchange).split(marker).length > 3));
    assert.deepEqual(steps[0]?.output, { result: marker });
    assert.deepEqual((await readRerunSource(db, taskId))?.message.parts, [{ text: marker }]);
    assert.equal((await readFile(db, caller, { taskId, hash: 'h' }))?.content.toString(), marker);
    const lines: string[] = [];
    const args = ['--owner', caller.owner];
    await exportCommand.run({ db, env: {}, args, print: (line) => lines.push(line) });
    assert.ok(!lines.join('').includes('"enc"') && !lines.join('').includes('enc:1.'), lines.join('\n'));
    assert.ok(lines.join('').split(marker).length > 12);
    assert.ok(lines.join('').includes(Buffer.from(marker).toString('base64')));
    // In no version of any row that was written since the start.
    assert.deepEqual([await countWritten(marker), (await countWritten(caller.owner)) > 0], [0, true]);
  });

  test('of schedules are hidden too', async () => {
    const template = {
      message: { role: 'ROLE_USER', parts: [{ text: marker }] },
      metadata: null,
      acceptedOutputModes: null,
      priority: 0,
    } as unknown as Parameters<typeof putSchedule>[2]['template'];
    await putSchedule(
      db,
      caller,
      {
        id: 's',
        rhythm: { everySeconds: 3600 },
        overlap: 'skip',
        catchUpSeconds: 0,
        paused: false,
        template,
        toWebhook: () => null,
      },
      0,
    );
    await assertHidden('scheduled');
    assert.deepEqual((await getSchedule(db, caller, 's'))?.template, template);
  });

  test('of files are read in pieces, which cannot be moved or cut off', async () => {
    const taskId = await accept();
    const { lease } = await claimTask(db, taskId);
    const content = Buffer.alloc(2_500_000, 'contents of a file ');
    const file = { mediaType: 'text/plain', filename: null };
    assert.equal(await storeFile(db, lease, { ...file, hash: 'large', content }), content.length);
    await storeFile(db, lease, { ...file, hash: 'empty', content: Buffer.alloc(0) });
    const read = async (hash: string) => {
      const opened = await openFile(db, caller, { taskId, hash });
      const pieces: Buffer[] = [];
      for await (const piece of opened!.content()) pieces.push(piece);
      return { size: opened?.size, content: Buffer.concat(pieces) };
    };
    assert.deepEqual(await read('large'), { size: content.length, content });
    assert.deepEqual((await readFile(db, caller, { taskId, hash: 'large' }))?.content, content);
    assert.deepEqual(await read('empty'), { size: 0, content: Buffer.alloc(0) });
    // Without the last piece.
    await sql`update files set content = substring(content for 20 + 2 * (1024 * 1024 + 28)) where hash = 'large'`.execute(
      db,
    );
    await assert.rejects(read('large'), /a stored file was altered, or moved/);
  });

  test('cannot be read in another row', async () => {
    const [one, two] = [await accept('one'), await accept('two')];
    await sql`update messages set message = (select message from messages where task_id = ${one})
      where task_id = ${two}`.execute(db);
    await readTaskSnapshot(db, caller, one);
    await assert.rejects(readTaskSnapshot(db, caller, two), /a stored message was altered, or moved/);
  });

  test('that were stored before are read as they are, and off is off', async () => {
    openContents(db, toContentsConfig(undefined));
    const taskId = await accept('in clear');
    assert.deepEqual(await searchTables(db, 'in clear'), ['messages', 'tasks']);
    encryptContents(db, keys);
    const snapshot = await readTaskSnapshot(db, caller, taskId);
    assert.deepEqual(snapshot?.task.history[0]?.parts, [{ text: 'in clear' }]);
  });
});
