/** The list of tasks with ten thousand of them. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { noBrowser, startBrowser, type ConsoleBrowser } from '../support/console/pages.ts';
import { startStack, type Stack } from '../support/stack.ts';

const tasks = 10_000;

describe('the list of tasks', { skip: noBrowser }, () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let browser: ConsoleBrowser;
  before(async () => {
    stack = await startStack(cleanup, { CONSOLE: 'true' });
    await stack.pool.query(
      `with task as (
         insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown)
         select gen_random_uuid(), '', 'anonymous', gen_random_uuid()::text, 'none', 'TASK_STATE_COMPLETED',
           now() - i * interval '1 second', true
         from generate_series(1, $1::int) i returning id
       )
       insert into gates (task_id, last_event, state_class, settled_at, wakeup_at) select id, 1, 2, now(), now() from task`,
      [tasks],
    );
    [browser] = await Promise.all([startBrowser(cleanup, stack.apiUrl), stack.start('api')]);
  });

  test('scrolls through ten thousand tasks with few rows in the document', async (t) => {
    const page = await browser.open('/');
    await page.locator('.task-row').nth(5).waitFor();
    // Scrolls like a person at full speed, in steps of frames, until the last task is there.
    const measured = await page.evaluate<{
      frames: number;
      ms: number;
      longest: number;
      rows: number;
      height: number;
    }>(`
      new Promise((resolve) => {
        const list = document.querySelector('.task-scroll');
        const start = performance.now();
        let [frames, longest, last, rows, still] = [0, 0, start, 0, 0];
        const step = (time) => {
          frames += 1;
          longest = Math.max(longest, time - last);
          last = time;
          rows = Math.max(rows, document.querySelectorAll('.task-row').length);
          const before = list.scrollTop;
          list.scrollTop += 2_000;
          still = list.scrollTop === before ? still + 1 : 0;
          if (list.scrollHeight >= ${tasks} * 44 && still > 5) resolve({ frames, ms: time - start, longest, rows, height: list.scrollHeight });
          else requestAnimationFrame(step);
        };
        requestAnimationFrame(step);
      })`);
    t.diagnostic(
      `${measured.frames} frames in ${Math.round(measured.ms)} ms, the longest ${Math.round(measured.longest)} ms`,
    );
    assert.ok(measured.rows < 80, `${measured.rows} rows in the document`);
    assert.equal(Math.round(measured.height / 44), tasks);
    browser.assertNoProblems();
  });
});
