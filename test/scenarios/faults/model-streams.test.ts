/** Workers die while they store the stream of a call at Google. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killDuringStream } from '../../tools/chaos/gemini/stream.ts';

test('stores the text of a stream once although its workers are killed', async (t) => {
  const { figures, violations } = await killDuringStream(t, { count: 3, seconds: 6 });
  t.diagnostic(JSON.stringify(figures));
  assert.deepEqual(violations, []);
  assert.equal(figures['starts of the artifact'], 1);
});
