/** `useChat` with the transport, in a real browser that is reloaded in the middle of a stream. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { launchBrowser, noBrowser } from '../../support/clients/browser/pages.ts';
import { startRig } from '../support/kill-workers.ts';
import { firstHalf } from './agents/paused-story.ts';
import { story } from './agents/story.ts';
import { major } from './version.ts';

const skip = major < 7 ? 'the transport is for AI SDK 7' : noBrowser;

describe('a chat in a browser', { skip }, () => {
  const cleanup = createSuiteCleanup();
  let origin: string;
  let openPage: () => Promise<Page>;
  before(async () => {
    const { servePage } = await import('./page/serve.ts');
    const [served, browser] = await Promise.all([servePage(cleanup), launchBrowser(cleanup)]);
    origin = served;
    openPage = () => browser.newPage();
  });

  async function open(agent: string): Promise<{ page: Page; problems: string[]; chat: string }> {
    const [page, chat] = [await openPage(), crypto.randomUUID()];
    page.setDefaultTimeout(60_000);
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.stack ?? error.message));
    await page.goto(`${origin}/?${new URLSearchParams({ agent, chat })}`);
    return { page, problems, chat };
  }

  const getAnswer = (page: Page) => page.locator('[data-role=assistant]');
  async function untilShown(page: Page, text: string): Promise<void> {
    await getAnswer(page).getByText(text, { exact: true }).waitFor();
    assert.equal((await getAnswer(page).allTextContents()).join('|').trim(), text);
  }

  test('that is reloaded in mid-stream shows each word once', async (t) => {
    const { stack, calls, openGate } = await startRig(t, 'ai-sdk/agents/paused-story.ts', {
      CORS_ORIGINS: origin,
    });
    await stack.start('worker');
    const { page, problems, chat } = await open(stack.apiUrl);
    await page.getByRole('button').click();
    await untilShown(page, firstHalf);
    await page.reload();
    await untilShown(page, firstHalf);
    assert.equal(await page.locator('main').getAttribute('data-status'), 'streaming');
    openGate();
    await untilShown(page, story);
    await page.locator('main[data-status=ready]').waitFor();
    assert.deepEqual(problems, []);
    assert.deepEqual(calls(), ['model']);
    const { result } = await stack.rpc('ListTasks', { contextId: chat });
    assert.equal(result.tasks.length, 1, 'the message was sent once');
  });

  test('shows each word once if the worker dies while it is reloaded', async (t) => {
    const { stack } = await startRig(t, 'ai-sdk/agents/story.ts', { CORS_ORIGINS: origin });
    const first = await stack.start('worker', { FAULT_POINT: 'chunk-stored:2' });
    const { page, problems } = await open(stack.apiUrl);
    await page.getByRole('button').click();
    await getAnswer(page).getByText(/word0/).waitFor();
    await first.running.exited;
    await page.reload();
    await getAnswer(page)
      .getByText(/^word0 /)
      .waitFor();
    await stack.endLeases('worker');
    await stack.start('worker');
    await untilShown(page, story);
    await page.locator('main[data-status=ready]').waitFor();
    assert.deepEqual(problems, []);
  });
});
