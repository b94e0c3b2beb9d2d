/** The output of commands for lists. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text as readText } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'node:test';
import { printRows } from '#services/cli/output/terminal.ts';

describe('a list', () => {
  for (const { format, json, expected } of [
    { format: 'a table', json: false, expected: ['', 'the list is empty\n'] },
    { format: 'JSON', json: true, expected: ['', ''] },
  ]) {
    test(`without rows says so as ${format}`, (t) => {
      const written = (['stdout', 'stderr'] as const).map((name) => {
        const { mock } = t.mock.method(process[name], 'write', () => true);
        return () => mock.calls.map(({ arguments: [text] }) => String(text)).join('');
      });
      printRows([], { json, head: ['WORKER'], toRow: () => [] });
      const texts = written.map((read) => read());
      t.mock.restoreAll();
      assert.deepEqual(texts, expected);
    });
  }
});

test('the program ends without a message when the reader of its pipe has left', async () => {
  const main = fileURLToPath(new URL('../../../services/cli/main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, 'completion', 'bash'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  const [errors, [status]] = await Promise.all([readText(child.stderr), once(child, 'exit')]);
  assert.deepEqual([errors, status], ['', 141]);
});
