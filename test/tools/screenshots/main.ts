/**
 * `npm run screenshots` makes the pictures of docs/use/console.md: each screen in the light and the dark theme, and at the
 * width of a phone. It starts a stack of its own with an agent made for them.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { createCleanup } from '../../support/cleanup.ts';
import { noBrowser, startBrowser, waitForContent } from '../../support/clients/browser/pages.ts';
import { createPictureStack } from './stack.ts';

const folder = fileURLToPath(new URL('../../../docs/images/console/', import.meta.url));
const quality = 82;
const views = {
  light: { viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 780 }, colorScheme: 'dark' },
} as const;

if (noBrowser !== false) {
  console.error(noBrowser);
  process.exit(1);
}
const cleanup = createCleanup();
try {
  const { apiUrl, paths } = await createPictureStack(cleanup);
  const browser = await startBrowser(cleanup, apiUrl);
  const pictures = new Map<string, Buffer>();
  for (const [view, options] of Object.entries(views)) {
    const page = await browser.open('/', options);
    for (const [name, at] of Object.entries(paths)) {
      await page.goto(`${apiUrl}/console${at}`);
      await waitForContent(page);
      // The sanitiser and previews arrive after the first paint.
      await page.locator('.markdown.plain').first().waitFor({ state: 'detached' });
      await page.waitForLoadState('load');
      await page.waitForTimeout(600);
      pictures.set(`${name}-${view}.webp`, await takePicture(page));
    }
    await page.context().close();
  }
  browser.assertNoProblems();
  // The old pictures stay unless all new ones are there.
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, picture] of pictures) writeFileSync(path.join(folder, name), picture);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await cleanup.run();
}
process.exit();

/** WebP is a third of the size of PNG. */
async function takePicture(page: Page): Promise<Buffer> {
  const client = await page.context().newCDPSession(page);
  const { data } = await client.send('Page.captureScreenshot', { format: 'webp', quality });
  await client.detach();
  return Buffer.from(data, 'base64');
}
