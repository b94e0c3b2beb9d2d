/** Every screen of the console, in both themes and at the width of a phone: accessible, and without a horizontal scroll bar. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { findViolations } from '../support/clients/browser/accessibility.ts';
import {
  noBrowser,
  startBrowser,
  waitForContent,
  type ConsoleBrowser,
} from '../support/clients/browser/pages.ts';
import { sampleTasks } from '../support/clients/browser/samples.ts';
import { startScriptedStack } from '../support/services/scripted-stack.ts';

const phone = { width: 390, height: 800 };

describe('the screens of the console', { skip: noBrowser }, () => {
  const cleanup = createSuiteCleanup();
  let browser: ConsoleBrowser;
  let paths: Record<string, string>;
  before(async () => {
    const { stack, tool } = await startScriptedStack(cleanup, { CONSOLE: 'true' });
    [browser] = await Promise.all([
      startBrowser(cleanup, stack.apiUrl),
      ...(['api', 'worker', 'dispatcher'] as const).map((kind) => stack.start(kind)),
    ]);
    const { completed, asking, failed } = await sampleTasks(stack, tool.url);
    await fetch(`${stack.apiUrl}/a2a/v1/schedules/morning-report`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        cron: '0 9 * * 1-5',
        request: { message: { role: 'ROLE_USER', parts: [{ text: 'say good morning' }] } },
      }),
    });
    paths = {
      tasks: '/',
      'no task found': '/?error=nothing+like+this',
      task: `/tasks/${completed}`,
      events: `/tasks/${completed}/events`,
      webhooks: `/tasks/${failed}/webhooks`,
      'webhooks of all tasks': '/webhooks',
      'failing webhooks': '/?webhook=failing',
      'usage of a task': `/tasks/${completed}/usage`,
      question: `/tasks/${asking}`,
      inbox: '/inbox',
      new: '/new',
      schedules: '/schedules',
      usage: '/usage',
      'usage by owner': '/usage?by=owner',
      agent: '/agent',
      operations: '/operations',
      'an unknown task': '/tasks/00000000-0000-0000-0000-000000000000',
      'an unknown screen': '/nothing',
    };
  });

  async function forEachScreen(
    options: Parameters<ConsoleBrowser['open']>[1],
    check: (page: Page, name: string) => Promise<void>,
  ): Promise<void> {
    const page = await browser.open('/', options);
    for (const [name, path] of Object.entries(paths)) {
      await page.goto(new URL(`/console${path}`, page.url()).href);
      await waitForContent(page);
      await check(page, name);
    }
    await page.context().close();
    browser.assertNoProblems();
  }

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`meet WCAG 2.2 AA in the ${colorScheme} theme`, async () => {
      const found: string[] = [];
      await forEachScreen({ colorScheme }, async (page, name) => {
        found.push(...(await findViolations(page)).map((text) => `${name}: ${text}`));
      });
      assert.deepEqual(found, []);
    });
  }

  test('fit a phone, and are accessible there', async () => {
    const found: string[] = [];
    await forEachScreen({ viewport: phone, colorScheme: 'dark' }, async (page, name) => {
      const width = await page.evaluate<number>('document.documentElement.scrollWidth');
      if (width > phone.width) found.push(`${name} is ${width} pixels wide`);
      found.push(...(await findViolations(page)).map((text) => `${name}: ${text}`));
    });
    assert.deepEqual(found, []);
  });

  /** Opens a dialog by a key, checks it, closes it by Escape, and checks that the focus returns. */
  async function checkDialog(page: Page, key: string): Promise<void> {
    const getFocus = (): Promise<string> =>
      page.evaluate<string>(
        `document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.slice(0, 40)`,
      );
    const before = await getFocus();
    await page.keyboard.press(key);
    await page.locator('dialog[open]').waitFor();
    await page.locator('dialog .skeleton').waitFor({ state: 'detached' });
    assert.deepEqual(await findViolations(page), [], before);
    for (let tabs = 0; tabs < 12; tabs++) {
      await page.keyboard.press('Tab');
      const isInside = `document.activeElement === document.body || document.activeElement.closest('dialog') !== null`;
      assert.ok(await page.evaluate<boolean>(isInside), `Tab leaves the dialog of ${before}`);
    }
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    assert.equal(await getFocus(), before);
  }

  test('keep the focus in their overlays and dialogs, and return it', async () => {
    const page = await browser.open('/');
    await page.locator('.task-row input').first().focus();
    await checkDialog(page, '?');
    await checkDialog(page, '/');
    await page.keyboard.press('Space');
    await page.getByRole('region', { name: 'Selection' }).waitFor();
    await checkDialog(page, 'R');
    await page.getByRole('button', { name: 'Rerun' }).focus();
    await checkDialog(page, 'Enter');
    await page.goto(new URL(`/console${paths['task']}`, page.url()).href);
    await page.getByRole('button', { name: 'Copy as', disabled: false }).focus();
    await checkDialog(page, 'Enter');
    await page.goto(new URL('/console/webhooks', page.url()).href);
    await page.getByRole('button', { name: 'Redeliver what failed' }).focus();
    await checkDialog(page, 'Enter');
    browser.assertNoProblems();
  });

  test('create, edit and delete a schedule by the keyboard alone', async () => {
    const page = await browser.open('/');
    await page.locator('main h1').waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('s');
    await page.getByRole('button', { name: 'New schedule' }).focus();
    await checkDialog(page, 'Enter');
    await page.keyboard.press('Enter');
    // The dialog starts in its first field.
    await page.locator('dialog input:focus').waitFor();
    await page.keyboard.type('by keyboard');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByLabel('Seconds between two tasks').fill('60');
    await page.getByLabel('Message').fill('say hello');
    await page.getByLabel('Id', { exact: true }).focus();
    await page.keyboard.press('Enter');
    // A space is not a character of an id, so the browser keeps the form open.
    assert.equal(
      await page.evaluate(`document.querySelector('dialog :invalid[pattern]').value`),
      'by keyboard',
    );
    await page.getByLabel('Id', { exact: true }).fill('by-keyboard');
    await page.keyboard.press('Enter');
    await page.locator('dialog').waitFor({ state: 'detached' });
    await page.getByText('every 1 m 00 s').waitFor();

    const card = page.locator('.schedule').filter({ hasText: 'by-keyboard' });
    await card.getByRole('button', { name: 'Edit' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Cron' }).click();
    await page.getByLabel('Cron expression').fill('61 * * * *');
    await page.keyboard.press('Enter');
    // Errors of the agent appear in front of the dialog, which keeps what was typed.
    await page.locator('dialog').getByRole('status').getByText('cron').waitFor();
    await page.getByLabel('Cron expression').fill('0 9 * * *');
    await page.keyboard.press('Enter');
    await card.getByText('0 9 * * *').waitFor();

    await card.getByRole('button', { name: 'Delete by-keyboard' }).focus();
    await checkDialog(page, 'Enter');
    await page.keyboard.press('Enter');
    await page.locator('dialog').getByRole('button', { name: 'Delete' }).focus();
    await page.keyboard.press('Enter');
    await card.waitFor({ state: 'detached' });
    browser.assertNoProblems();
  });
});
