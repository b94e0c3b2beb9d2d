/** Commands print each piece of text of a task once, even if a stream resumes. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { partsToText, TaskPrinter } from '#services/cli/output/task-printer.ts';
import type { StreamEventJson } from '#services/cli/agent/json.ts';

const ids = { taskId: 't', contextId: 'c' };
const chunk = (text: string, append: boolean, artifactId = 'a'): StreamEventJson => ({
  artifactUpdate: { ...ids, artifact: { artifactId, parts: [{ text }] }, append },
});
const snapshot = (text: string): StreamEventJson => ({
  task: {
    id: 't',
    status: { state: 'TASK_STATE_WORKING' },
    artifacts: [{ artifactId: 'a', parts: [{ text }] }],
  },
});

function printAll(t: TestContext, events: readonly StreamEventJson[]): string {
  const write = t.mock.method(process.stdout, 'write', () => true);
  const printer = new TaskPrinter();
  for (const event of events) printer.event(event);
  printer.end();
  const output = write.mock.calls.map(({ arguments: [text] }) => String(text)).join('');
  write.mock.restore();
  return output;
}

test('prints the rest of an artifact after a reconnect', (t) => {
  assert.equal(
    printAll(t, [chunk('one ', false), snapshot('one two '), chunk('three', true)]),
    'one two three\n',
  );
});

test('prints an artifact again that the agent starts again', (t) => {
  assert.equal(
    printAll(t, [chunk('one two', false), chunk('uno', false), chunk(' dos', true)]),
    'one two\nuno dos\n',
  );
});

test('prints artifacts on lines of their own', (t) => {
  assert.equal(
    printAll(t, [chunk('a\n', false), chunk('b', false, 'b'), chunk('c', false, 'c')]),
    'a\nb\nc\n',
  );
});

test('prints a status with its text once, although the task is read again at the end', (t) => {
  const { isTTY } = process.stderr;
  t.after(() => Object.assign(process.stderr, { isTTY }));
  Object.assign(process.stderr, { isTTY: true });
  const write = t.mock.method(process.stderr, 'write', () => true);
  const status = {
    state: 'TASK_STATE_COMPLETED' as const,
    message: { messageId: 'm', parts: [{ text: 'Sent.' }] },
  };
  printAll(t, [
    { statusUpdate: { ...ids, status } } as StreamEventJson,
    { task: { id: 't', status } } as StreamEventJson,
  ]);
  const lines = write.mock.calls.map(({ arguments: [text] }) => String(text));
  assert.equal(lines.filter((line) => line.includes('completed: Sent.')).length, 1);
});

test('prints data as JSON, and files by name, type and size', () => {
  const parts = [
    { text: 'see ' },
    { text: 'this' },
    { data: { a: 1 } },
    { raw: 'aGk=', filename: 'a.png', mediaType: 'image/png' },
    { url: 'https://example.com/b', mediaType: 'text/csv' },
  ];
  assert.equal(
    partsToText(parts),
    'see this\n{"a":1}\n[a.png, image/png, 2 bytes]\n[file, text/csv, https://example.com/b]',
  );
});
