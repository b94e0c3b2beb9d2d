/**
 * A whole system with two api processes, whose workers run the scripted agent. Its processes are costly to start, so that
 * the suites of this folder share it.
 */
import { before } from 'node:test';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { freePort } from '../../support/network/ports.ts';
import { startScriptedStack } from '../../support/services/scripted-stack.ts';
import type { Stack } from '../../support/stack.ts';
import type { Receiver } from '../../support/webhooks/receiver.ts';

const cleanup = createSuiteCleanup();
export let stack: Stack;
export let tool: Receiver;
export let apiUrls: readonly [string, string];
before(async () => {
  ({ stack, tool } = await startScriptedStack(cleanup));
  const port = String(await freePort());
  const [, other] = await Promise.all([
    stack.start('api'),
    stack.start('api', { PORT: port }),
    stack.start('worker'),
  ]);
  apiUrls = [stack.apiUrl, other.url];
});
