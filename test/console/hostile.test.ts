/** Texts of agents, users, owners and receivers that try to become more than text, on every screen. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { stringify } from 'yaml';
import { createSuiteCleanup } from '../support/cleanup.ts';
import {
  findHazards,
  hostileMarkdown,
  hostileText,
  hostileWord,
  mark,
} from '../support/clients/browser/hostile.ts';
import {
  noBrowser,
  startBrowser,
  waitForContent,
  type ConsoleBrowser,
} from '../support/clients/browser/pages.ts';
import { startScriptedStack } from '../support/services/scripted-stack.ts';
import { isCompleted, type Stack } from '../support/stack.ts';
import { writeTempFile } from '../support/temp-dir.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';

const phone = { width: 390, height: 800 };
const approvalExtension = 'https://longhaul.dev/ext/approval/v1';

/** Its names are hostile; what it does is scripted. */
const agentFile = stringify({
  name: hostileText,
  description: hostileText,
  version: '1',
  instruction: 'Not used.',
  inputModes: ['text/plain', 'text/html'],
  outputModes: ['text/plain', 'text/html', 'image/svg+xml', 'application/json'],
  skills: [
    { id: 'one', name: hostileText, description: hostileText, tags: ['one'], examples: [hostileText] },
  ],
});

const js = (value: unknown): string => JSON.stringify(value);

describe('hostile texts in the console', { skip: noBrowser }, () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let browser: ConsoleBrowser;
  let taskId: string;
  let failedId: string;
  before(async () => {
    ({ stack } = await startScriptedStack(cleanup, {
      CONSOLE: 'true',
      AGENT_FILE: writeTempFile(cleanup, 'agent.yaml', agentFile),
      CONSOLE_TRACE_URL: 'https://traces.example/?task={taskId}&q="><script>',
    }));
    [browser] = await Promise.all([
      startBrowser(cleanup, stack.apiUrl),
      stack.start('api'),
      stack.start('dispatcher'),
      stack.start('worker', { WORKER_NAME: hostileWord }),
    ]);
    const receiver = await startReceiver(cleanup);
    receiver.answerBy((_request, response) => void response.writeHead(410).end(hostileText));
    const artifact = {
      artifactId: 'a',
      name: hostileText,
      description: hostileText,
      parts: [
        { text: hostileMarkdown },
        { text: hostileText, mediaType: 'text/html' },
        { data: { [hostileText]: hostileText } },
        { raw: 'PGI+', mediaType: 'text/html', filename: hostileText },
        { raw: 'PHN2Zz4=', mediaType: 'image/svg+xml', filename: hostileWord },
      ],
    };
    const script = `step ${hostileWord} 10\noutput artifact (${js(artifact)})\nuse 0.01`;
    const task = await stack.submit(script, {
      message: { parts: [{ text: script }, { raw: 'PGI+', mediaType: 'text/html', filename: hostileWord }] },
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
    });
    const failed = await stack.submit(`fail ${hostileText}`);
    await stack.submit(`ask ${hostileMarkdown.replaceAll('\n', ' ')}`);
    const request = {
      id: '1',
      tool: hostileText,
      arguments: { [hostileText]: hostileText },
      argumentsHash: 'x',
    };
    const end = {
      state: 'TASK_STATE_AUTH_REQUIRED',
      message: [{ data: { [approvalExtension]: { requests: [request] } } }],
    };
    await stack.submit(`output end (${js(end)})`);
    await putSchedule(stack);
    await addRowsOfOthers(stack);
    await receiver.count(1);
    await stack.until(task.id, isCompleted);
    await stack.until(failed.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
    taskId = task.id;
    failedId = failed.id;
  });

  /** Opens a screen, unfolds all of it, and returns what is wrong. */
  async function check(page: Page, path: string): Promise<string[]> {
    await page.goto(new URL(`/console${path}`, page.url()).href);
    await waitForContent(page);
    await page.locator('main').getByText(mark).first().waitFor({ state: 'attached' });
    if (path === '/operations') {
      await page.getByRole('button', { name: 'Parked' }).click();
      await page.getByRole('button', { name: 'All', exact: true }).click();
      await page
        .getByRole('region', { name: 'Tasks without progress, as a table' })
        .getByText(mark)
        .first()
        .waitFor();
      await page
        .getByRole('region', { name: 'Owners and their limits, as a table' })
        .getByText(mark)
        .waitFor();
    }
    await page.evaluate(`for (const details of document.querySelectorAll('details')) details.open = true`);
    await page.locator('.markdown.plain').first().waitFor({ state: 'detached' });
    return (await findHazards(page)).map((text) => `${path}: ${text}`);
  }

  test('are text on every screen, and stay in their place', { timeout: 170_000 }, async () => {
    const page = await browser.open('/', { viewport: phone });
    const elsewhere: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(stack.apiUrl) && !request.url().startsWith('blob:'))
        elsewhere.push(request.url());
    });
    const found: string[] = [];
    for (const path of [
      '/',
      `/tasks/${taskId}`,
      `/tasks/${taskId}/events`,
      `/tasks/${taskId}/webhooks`,
      `/tasks/${failedId}`,
      '/inbox',
      '/new',
      '/schedules',
      '/usage',
      '/usage?by=owner',
      '/agent',
      '/operations',
    ]) {
      found.push(...(await check(page, path)));
    }
    assert.deepEqual(found, []);
    assert.deepEqual(elsewhere, []);
    browser.assertNoProblems();
  });

  test('in Markdown leave only what is harmless', async () => {
    const page = await browser.open(`/tasks/${taskId}`);
    const report = page.locator('.artifact');
    await report.locator('strong', { hasText: 'bold' }).waitFor();
    const tags = await page.evaluate<string[]>(
      `[...new Set([...document.querySelectorAll('.artifact .markdown *')].map(({ localName }) => localName))]`,
    );
    const allowed = new Set('p br strong code pre blockquote a table thead tbody tr th td'.split(' '));
    assert.deepEqual(
      tags.filter((tag) => !allowed.has(tag)),
      [],
    );
    // An image is a link, which loads nothing until it is followed.
    await report.getByRole('link', { name: 'pixel' }).waitFor();
    browser.assertNoProblems();
  });

  test('in errors of the agent are text, even if they are pages', async () => {
    const page = await browser.open('/');
    await page.route('**/a2a/v1/search?*', (route) =>
      route.fulfill({
        status: 500,
        contentType: 'application/json',
        body: js({ error: { message: hostileText } }),
      }),
    );
    await page.reload();
    await page.getByRole('alert').getByText(mark).waitFor();
    assert.deepEqual(await findHazards(page), []);
    await page.unroute('**/a2a/v1/search?*');
    await page.route('**/a2a/v1/search?*', (route) =>
      route.fulfill({ status: 502, contentType: 'text/html', body: hostileMarkdown }),
    );
    await page.reload();
    await page.getByRole('alert').getByText('The agent answered with status 502').waitFor();
    await page.route('**/a2a/v1/message:send', (route) =>
      route.fulfill({
        status: 400,
        contentType: 'application/json',
        body: js({ error: { message: hostileText } }),
      }),
    );
    await page.keyboard.press('n');
    await page.getByLabel('Message').fill('hello');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('status').getByText(mark).waitFor();
    assert.deepEqual(await findHazards(page), []);
    browser.assertNoProblems();
  });

  test('cannot be written as HTML by any script of the page', async () => {
    const page = await browser.open('/agent');
    await page.locator('main h1').waitFor();
    const refused = await page.evaluate<string>(`
      (() => {
        try {
          document.body.insertAdjacentHTML('beforeend', '<b>text</b>');
          return '';
        } catch (error) {
          return error.name;
        }
      })()`);
    assert.equal(refused, 'TypeError');
    // The same report fails every other test of the console.
    assert.throws(() => browser.assertNoProblems(), /TrustedHTML/);
  });
});

async function putSchedule({ apiUrl }: Stack): Promise<void> {
  const response = await fetch(`${apiUrl}/a2a/v1/schedules/${'w'.repeat(128)}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: js({
      cron: '0 9 * * 1',
      request: { message: { role: 'ROLE_USER', parts: [{ text: hostileText }] } },
    }),
  });
  assert.equal(response.status, 200, await response.text());
}

/** An owner and a model with hostile names, and a task of the owner that is parked. */
async function addRowsOfOthers({ pool }: Stack): Promise<void> {
  const id = randomUUID();
  // Longer names have no place in an index.
  const name = hostileText.slice(0, 400);
  await pool.query(
    `insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, shown, last_error)
     values ($1, '', $2, 'c', 'none', 'TASK_STATE_WORKING', now(), true, $3)`,
    [id, name, hostileText],
  );
  await pool.query(
    `insert into gates (task_id, last_event, wakeup_at, run_at, deadline_at)
     values ($1, 1, now() + interval '1 day', now() + interval '1 day', now() + interval '1 day')`,
    [id],
  );
  await pool.query('insert into model_quotas (model) values ($1)', [name]);
  await pool.query('insert into quota_places (task_id, model, at) values ($1, $2, now())', [id, name]);
  await pool.query(
    `insert into ledger (tenant, owner, day, model, calls, prompt_tokens, cached_tokens, tool_tokens, thought_tokens,
       output_tokens, cost, unpriced)
     select '', owner, current_date, $1, 1, 1, 0, 0, 0, 1, 1, 0 from unnest(array['anonymous', $1]) owner`,
    [name],
  );
}
