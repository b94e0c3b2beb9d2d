/** Every screen of the console, in both themes and at the width of a phone: accessible, and without a horizontal scroll bar. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { findViolations } from '../support/console/accessibility.ts';
import { noBrowser, startBrowser, waitForContent, type ConsoleBrowser } from '../support/console/pages.ts';
import { sampleTasks } from '../support/console/samples.ts';
import { startScriptedStack } from '../support/scripted-stack.ts';

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
      'usage of a task': `/tasks/${completed}/usage`,
      question: `/tasks/${asking}`,
      inbox: '/inbox',
      new: '/new',
      schedules: '/schedules',
      usage: '/usage',
      agent: '/agent',
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

  test('are accessible with their overlays', async () => {
    const page = await browser.open('/');
    await page.locator('main h1').waitFor();
    for (const key of ['?', '/']) {
      await page.keyboard.press(key);
      await page.locator('dialog[open]').waitFor();
      assert.deepEqual(await findViolations(page), [], key);
      await page.keyboard.press('Escape');
      await page.locator('dialog[open]').waitFor({ state: 'detached' });
    }
  });
});
