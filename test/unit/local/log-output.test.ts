import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createPrint } from '#services/local/processes/log-output.ts';

describe('logs on a terminal', () => {
  test('show control characters of quoted texts instead of obeying them', () => {
    let written = '';
    const print = createPrint({ isTTY: true, write: (text) => (written += text) });
    const hostile = 'a\u001b[2J\u001b]0;title\u0007\u009b31m\u202eb\r\nc';
    print('api', { severity: 'INFO', message: hostile, url: hostile, error: { message: hostile } });
    // The colours of the line itself.
    const text = written.replaceAll(/\u001b\[(?:0|2)m/g, '');
    assert.match(text, /^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]*\n$/);
    assert.match(text, /a\\u001b\[2J\\u001b\]0;title\\u0007\\u009b31m\\u202eb ↵ c/);
  });
});
