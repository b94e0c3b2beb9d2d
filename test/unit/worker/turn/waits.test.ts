/** A turn is suspended when nothing but waits is left of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidv7 } from '#shared/domain/ids.ts';
import { openModelWait } from '#services/worker/agent/model-wait.ts';
import { TurnRecord } from '#services/worker/turn/record.ts';
import { Waits } from '#services/worker/turn/waits.ts';

function createWaits(): Waits {
  const record = new TurnRecord([]);
  return new Waits({
    held: {
      lease: { taskId: uuidv7(), turn: 1, fence: 1 },
      signal: new AbortController().signal,
      lost: () => undefined,
      abort: () => undefined,
      assertHeld: async () => undefined,
      release: () => undefined,
    },
    signals: 0,
    reach: (name) => record.reach(name, null),
    store: async () => undefined,
    timeOut: async () => undefined,
    createMessage: (text) => ({ messageId: 'm', role: 'ROLE_AGENT', parts: [{ text }] }),
    createProgress: () => ({ kind: 'progress', payload: '{}' }),
    publicUrl: undefined,
  });
}

test('a short wait that ends leaves a long one to be suspended for', async () => {
  const waits = createWaits();
  const keepAlive = setTimeout(() => undefined, 60_000);
  void Promise.all([waits.sleep('short', 0.2), waits.sleep('long', 600)]);
  const { release } = await waits.suspended;
  clearTimeout(keepAlive);
  assert.ok(release.delaySeconds > 590);
});

for (const { streams, seconds } of [
  { streams: false, seconds: 3600 },
  { streams: true, seconds: 2 },
]) {
  test(`a call at Google that is ${streams ? '' : 'not '}streamed suspends its turn for ${seconds} s`, async () => {
    const waits = createWaits();
    const unused = async (): Promise<never> => assert.fail('nothing is streamed');
    const keepAlive = setTimeout(() => undefined, 60_000);
    const wait = await openModelWait(
      'call',
      { streams },
      {
        waits,
        store: async () => undefined,
        publicUrl: undefined,
        readArtifact: unused,
        openArtifact: () => assert.fail('nothing is streamed'),
        showProgress: unused,
      },
    );
    void wait.ended(async () => false, { limitSeconds: 3600 });
    const { release } = await waits.suspended;
    clearTimeout(keepAlive);
    assert.ok(Math.abs(release.delaySeconds - seconds) < 1, `${release.delaySeconds}`);
  });
}
