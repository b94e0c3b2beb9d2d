/** The console while tasks run: answers, approvals, webhooks, a worker that dies, a reload in the middle of a stream. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { noBrowser, startBrowser, type ConsoleBrowser } from '../support/clients/browser/pages.ts';
import { startScriptedStack } from '../support/services/scripted-stack.ts';
import { isCompleted, startStack, type RunningService, type Stack } from '../support/stack.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';

describe('the console at work', { skip: noBrowser }, () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let browser: ConsoleBrowser;
  let worker: RunningService;
  before(async () => {
    const traces = { CONSOLE_TRACE_URL: 'https://traces.example/search?task={taskId}' };
    ({ stack } = await startScriptedStack(cleanup, { CONSOLE: 'true', ...traces }));
    [browser, worker] = await Promise.all([
      startBrowser(cleanup, stack.apiUrl),
      stack.start('worker', { WORKER_NAME: 'worker-one' }),
      stack.start('api'),
      stack.start('dispatcher'),
    ]);
  });

  test('answers a question from the inbox, without a reload', async () => {
    const page = await browser.open('/inbox');
    await page.getByText('Nothing waits for you').waitFor();
    const { id } = await stack.submit('ask Which quarter?');
    await page.getByText('Which quarter?', { exact: true }).waitFor();
    await page.getByLabel('Your answer').fill('say the last one');
    await page.getByRole('button', { name: 'Send the answer' }).click();
    await page.getByText('Nothing waits for you').waitFor();
    await stack.until(id, isCompleted);
    browser.assertNoProblems();
  });

  test('shows the attempt that died and the one that continued', async () => {
    const { id } = await stack.submit('step first 50\nwait 60000\nstep second 50');
    const page = await browser.open(`/tasks/${id}`);
    await page.getByRole('rowheader', { name: /first/ }).waitFor();
    await page.getByRole('rowheader', { name: /worker-one · running/ }).waitFor();
    await worker.kill();
    await stack.endLeases('worker');
    worker = await stack.start('worker', { WORKER_NAME: 'worker-two' });
    await page.getByRole('rowheader', { name: /worker-one · its worker died/ }).waitFor();
    await page.getByRole('rowheader', { name: /worker-two · running/ }).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Cancel the task' }).click();
    await page.locator('.task-line').getByText('Canceled').waitFor();
    browser.assertNoProblems();
  });

  test('loses nothing when it is reloaded in the middle of a stream', async () => {
    const words = Array.from({ length: 150 }, (_, index) => `w${index}`).join(' ');
    const { id } = await stack.submit(`stream ${words}`);
    const page = await browser.open(`/tasks/${id}`);
    const answer = page.getByRole('article').filter({ hasText: 'answer' });
    await answer.getByText(/w10/).waitFor();
    await page.reload();
    await answer.getByText(/w149/).waitFor();
    await page.locator('.task-line').getByText('Completed').waitFor();
    assert.equal((await answer.locator('.markdown').innerText()).trim(), words);
    browser.assertNoProblems();
  });

  test('runs a turn again from a step, and links to the traces of the task', async () => {
    const { id } = await stack.submit('step first 50\nstep second 50\nwait 60000');
    const page = await browser.open(`/tasks/${id}`);
    await page.getByRole('button', { name: 'Run again from first' }).waitFor();
    await page.getByRole('button', { name: 'Run again from second' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('These steps of turn 1 run again').waitFor();
    assert.deepEqual(await dialog.getByRole('listitem').allInnerTexts(), ['second']);
    await dialog.getByRole('button', { name: 'Run again' }).click();
    await page.getByRole('rowheader', { name: /restarted from a step/ }).waitFor();
    await page.getByRole('rowheader', { name: /Attempt 2.*running/ }).waitFor();
    const link = page.getByRole('link', { name: 'Open', exact: true });
    assert.equal(await link.getAttribute('href'), `https://traces.example/search?task=${id}`);
    await stack.rpc('CancelTask', { id });
    await page.locator('.task-line').getByText('Canceled').waitFor();
    await page.getByRole('button', { name: 'Run again from second' }).waitFor({ state: 'detached' });
    browser.assertNoProblems();
  });

  test('shows operators who works, and drains a worker', async () => {
    const { id } = await stack.submit('step first 50\nwait 60000');
    await stack.until(id, ({ status }) => status.state === 'TASK_STATE_WORKING');
    const page = await browser.open('/');
    await page.getByRole('link', { name: 'Operations' }).click();
    const drain = page.getByRole('row').filter({ hasText: 'worker-' }).getByRole('button', { name: 'Drain' });
    await drain.click();
    await page.getByRole('button', { name: 'Keep it' }).click();
    await drain.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click();
    await page.getByText('The worker is asked to drain').waitFor();
    await stack.rpc('CancelTask', { id });
    await worker.running.exited;
    worker = await stack.start('worker', { WORKER_NAME: 'worker-three' });
    browser.assertNoProblems();
  });

  test('redelivers to a webhook that was disabled', async (t) => {
    const receiver = await startReceiver(t);
    receiver.answer(410);
    const { id } = await stack.submit('say hello', {
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
    });
    const page = await browser.open(`/tasks/${id}/webhooks`);
    await page.getByText('Disabled', { exact: true }).waitFor();
    await page.getByText('Event 1', { exact: true }).click();
    await page.getByText('410', { exact: true }).waitFor();
    const list = await browser.open('/?webhook=disabled');
    await list.getByRole('row').filter({ hasText: 'webhook disabled' }).getByText('say hello').waitFor();
    receiver.answer(200);
    await page.getByRole('button', { name: 'Redeliver all failed' }).click();
    await page.getByText('on their way').waitFor();
    await page.getByText('Healthy', { exact: true }).waitFor();
    browser.assertNoProblems();
  });
});

describe('the console with an agent whose tools need approval', { skip: noBrowser }, () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let browser: ConsoleBrowser;
  before(async () => {
    stack = await startStack(cleanup, { CONSOLE: 'true', AGENT_FILE: 'docs/agents/orders.yaml' });
    [browser] = await Promise.all([
      startBrowser(cleanup, stack.apiUrl),
      stack.start('api'),
      stack.start('worker'),
    ]);
  });

  for (const [button, result] of [
    ['Approve', /Approved\. The call runs now/],
    ['Refuse', /Refused\. The agent learns your decision/],
  ] as const) {
    test(`shows the arguments of a call, and has a button to ${button.toLowerCase()} it`, async () => {
      const { id } = await stack.submit('Use cancel_order with {"order": "1002"}');
      const page = await browser.open('/inbox');
      await page.getByText('cancel_order', { exact: true }).waitFor();
      await page.locator('.json').getByText('"1002"').waitFor();
      await page.getByLabel('Reason, for the agent (optional)').fill('The customer said so.');
      await page.getByRole('button', { name: button }).click();
      await page.getByText(result).waitFor();
      const { history } = await stack.until(id, isCompleted);
      assert.ok(history?.some(({ parts }) => parts[0]?.text === 'The customer said so.'));
      browser.assertNoProblems();
    });
  }
});
