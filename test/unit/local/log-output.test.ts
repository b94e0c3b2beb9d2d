import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createPrint } from '#services/local/processes/log-output.ts';

function isControl(char: string): boolean {
  const code = char.charCodeAt(0);
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e);
}

describe('logs on a terminal', () => {
  test('show control characters of quoted texts instead of obeying them', () => {
    let written = '';
    const print = createPrint({ isTTY: true, write: (text) => (written += text) });
    const hostile = 'a\u001b[2J\u001b]0;title\u0007\u009b31m\u202eb\r\nc';
    print('api', { severity: 'INFO', message: hostile, url: hostile, error: { message: hostile } });
    // The colours of the line itself, and its end.
    const text = written.slice(0, -1).replaceAll('\u001b[2m', '').replaceAll('\u001b[0m', '');
    assert.deepEqual(text.split('').filter(isControl), []);
    assert.match(text, /a\\u001b\[2J\\u001b\]0;title\\u0007\\u009b31m\\u202eb ↵ c/);
  });
});
