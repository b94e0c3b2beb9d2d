/**
 * The console in a real browser. A page that violates its Content-Security-Policy, throws, or logs an error fails the test
 * that opened it.
 */
import assert from 'node:assert/strict';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { browser as executable } from './browser.ts';
import type { Cleanup } from '../../cleanup.ts';

/** For `skip`: why there is no browser; false if there is one. */
export const noBrowser: string | false =
  executable === undefined
    ? 'no Chromium found: install the package chromium-headless-shell of Debian'
    : false;

/** Requests that end while a page is closed, and answers that a test provokes, are logged by the browser too. */
const harmless = /Failed to load resource|net::ERR_(?:ABORTED|NETWORK_CHANGED)/;

export interface ConsoleBrowser {
  /** Opens a page of the console. @param path below `/console` */
  open(path: string, options?: BrowserContextOptions): Promise<Page>;
  /** Fails if a page has reported a problem since the last call. */
  assertNoProblems(): void;
}

export async function launchBrowser(t: Cleanup): Promise<Browser> {
  const started = await chromium.launch({
    executablePath: executable ?? '',
    args: ['--no-sandbox', '--disable-gpu'],
  });
  t.after(() => started.close());
  return started;
}

/** @param apiUrl the address of the front door */
export async function startBrowser(t: Cleanup, apiUrl: string): Promise<ConsoleBrowser> {
  const started = await launchBrowser(t);
  const problems: string[] = [];
  return {
    open: async (path, options = {}) => {
      const context = await started.newContext({ reducedMotion: 'reduce', ...options });
      const page = await context.newPage();
      page.setDefaultTimeout(30_000);
      page.on('pageerror', (error) => problems.push(`${page.url()}: ${error.stack ?? error.message}`));
      page.on('console', (message) => {
        const text = message.text();
        if (message.type() === 'error' && !harmless.test(text)) problems.push(`${page.url()}: ${text}`);
      });
      await page.goto(`${apiUrl}/console${path}`);
      return page;
    },
    assertNoProblems: () => assert.deepEqual(problems.splice(0), []),
  };
}

/** Waits until nothing on the page is being loaded. */
export async function waitForContent(page: Page): Promise<void> {
  await page.locator('main h1').waitFor();
  await page.locator('.skeleton').first().waitFor({ state: 'detached' });
}

/** Signs in with an API key. */
export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Tasks', exact: true }).waitFor();
}
