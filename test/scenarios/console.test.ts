/**
 * The console in a real browser, in short: sign in, send, watch, result; hostile content; other owners. `npm run
 * test:console` has the rest.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { aliceKey, apiKeysEnv, bobKey, sha256 } from '../support/services/api-keys.ts';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { noBrowser, signIn, startBrowser, type ConsoleBrowser } from '../support/clients/browser/pages.ts';
import { startScriptedStack } from '../support/services/scripted-stack.ts';

const hostile = [
  '# Heading <img src=x onerror="document.title=1">',
  '<script>document.title="owned"</script>',
  '[link](javascript:document.title=1) ![image](https://evil.example/x.png)',
  '<iframe src="https://evil.example/"></iframe> **bold**',
].join(' ');

describe('the console', { skip: noBrowser }, () => {
  const cleanup = createSuiteCleanup();
  let console: ConsoleBrowser;
  before(async () => {
    const env = apiKeysEnv();
    const { stack } = await startScriptedStack(cleanup, {
      CONSOLE: 'true',
      ...env,
      API_KEYS: `${env['API_KEYS']},ops:${sha256('ops-key')} scopes=operator`,
    });
    [console] = await Promise.all([
      startBrowser(cleanup, stack.apiUrl),
      stack.start('api'),
      stack.start('worker'),
    ]);
  });

  test('shows a task from its message to its result, to its owner alone', async () => {
    const page = await console.open('/');
    await page.getByText('asks its callers for a credential').waitFor();
    await signIn(page, aliceKey['x-api-key']);
    await page.getByText('No tasks yet').waitFor();

    await page.keyboard.press('n');
    await page.getByLabel('Message').fill(`step first 50\nstream one two three\nsay ${hostile}`);
    await page.getByRole('button', { name: 'Send' }).click();
    await page.waitForURL(/\/console\/tasks\/[\da-f-]{36}$/);
    await page.getByText('Completed', { exact: true }).waitFor();
    await page.getByText('one two three').first().waitFor();
    await page.getByRole('rowheader', { name: /first/ }).waitFor();

    // Only harmless parts of the hostile Markdown become HTML.
    const said = page.getByRole('article').filter({ hasText: 'said' });
    await said.locator('strong', { hasText: 'bold' }).waitFor();
    assert.equal(await said.locator('img, script, iframe, [onerror], a[href^="javascript"]').count(), 0);
    assert.match(await page.title(), /^step first 50/);

    const address = page.url();
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: /step first 50/ }).waitFor();

    const path = new URL(address).pathname.replace('/console', '');
    const other = await console.open(path);
    await other.getByLabel('API key').fill('a-wrong-key');
    await other.getByRole('button', { name: 'Sign in' }).click();
    await other.getByText('is unknown').waitFor();
    await other.getByLabel('API key').fill(bobKey['x-api-key']);
    await other.getByRole('button', { name: 'Sign in' }).click();
    await other.getByText('This task was not found').first().waitFor();
    await other.getByRole('link', { name: 'Tasks', exact: true }).first().click();
    await other.getByText('No tasks yet').waitFor();
    assert.equal(await other.getByRole('link', { name: 'Operations' }).count(), 0);
    await other.goto(page.url().replace(/\/console\/.*/, '/console/operations'));
    await other.getByText('It needs the scope operator, and your credential has only: read, send.').waitFor();
    await other.getByRole('button', { name: 'Sign in again' }).click();
    await other.getByLabel('API key').fill('ops-key');
    await other.getByRole('button', { name: 'Sign in', exact: true }).click();
    await other.getByText('Turns that wait').waitFor();
    assert.deepEqual(await page.context().cookies(), []);
    console.assertNoProblems();
  });
});
