/**
 * A whole system with all bindings, whose workers run the scripted agent. Its processes are costly to start, so that the
 * suites of this folder share it.
 */
import { before } from 'node:test';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { freePort } from '../../../support/network/ports.ts';
import { checkAnswers } from '../../../support/clients/openapi.ts';
import { scriptedAgent } from '../../../support/services/scripted-stack.ts';
import { startStack, type RunningService, type Stack } from '../../../support/stack.ts';

const cleanup = createSuiteCleanup();
export const grpcPort = await freePort();
export let stack: Stack;
export let api: RunningService;
before(async () => {
  stack = await startStack(cleanup, { AGENT_MODULE: scriptedAgent, GRPC_PORT: String(grpcPort) });
  [api] = await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  await checkAnswers(cleanup, stack.apiUrl);
});
