/** The words in which the console describes a cancel or a rerun of several tasks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeResults } from '../../../console/lib/bulk.ts';

describe('a bulk action', () => {
  const result = (outcome: string, message?: string) => ({
    taskId: 't',
    outcome,
    ...(message !== undefined && { message }),
  });

  test('counts what it would do, and gives the reasons for the rest', () => {
    const results = [result('canceled'), result('ended'), result('ended'), result('not_found')];
    assert.deepEqual(describeResults('cancel', results), {
      count: 1,
      preview: '1 of 4 tasks would be canceled.',
      summary: '1 of 4 tasks were canceled.',
      others: ['2: ended before', '1: not found'],
    });
  });

  test('repeats the reason of the agent for what it refuses', () => {
    const { count, others } = describeResults('rerun', [result('refused', 'openTasks is reached')]);
    assert.deepEqual([count, others], [0, ['1: openTasks is reached']]);
  });

  test('says in the singular that one task was started again', () => {
    assert.equal(describeResults('rerun', [result('started')]).summary, '1 task was started again.');
  });
});
