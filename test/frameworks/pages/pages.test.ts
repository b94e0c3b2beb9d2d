/** The modules of docs/frameworks and their tests, as they are written: with the offline model, and a crash after each step. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { writePage } from '../support/page.ts';

describe('the pages of frameworks', () => {
  for (const name of ['adk', 'ai-sdk', 'langgraph']) {
    test(`docs/frameworks/${name}.md has a module that passes its test`, async () => {
      const env = { ...process.env };
      delete env['NODE_TEST_CONTEXT'];
      const args = ['--test', `${writePage(name)}/agent.test.ts`];
      const { stdout } = await promisify(execFile)(process.execPath, args, { env });
      assert.match(stdout, /pass 1\n/);
    });
  }
});
