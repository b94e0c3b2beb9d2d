/**
 * `npm run recording` records `longhaul send` and `longhaul watch` in a terminal, on a real stack, for docs/use/cli.md: as a
 * recording of asciinema, and as a picture that plays it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCleanup } from '../../support/cleanup.ts';
import { noTerminal } from '../../support/clients/cli.ts';
import { startStack } from '../../support/stack.ts';
import { toCast } from './cast.ts';
import { Recorder } from './recorder.ts';
import { renderSvg } from './svg.ts';

const folder = fileURLToPath(new URL('../../../docs/images/cli/', import.meta.url));
const resolve = (name: string): string => fileURLToPath(new URL(`../screenshots/${name}`, import.meta.url));

if (noTerminal !== undefined) {
  console.error(noTerminal);
  process.exit(1);
}
const cleanup = createCleanup();
try {
  const stack = await startStack(cleanup, {
    AGENT_FILE: resolve('agent.yaml'),
    AGENT_MODULE: resolve('agent.ts'),
    LEASE_SECONDS: '30',
  });
  await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  const recorder = new Recorder({ LONGHAUL_URL: stack.apiUrl });
  await recorder.run(['send', '"Write the report for Q3."', '--stream']);
  const task = (await recorder.run(['send', '"Write the report for Q4."', '--detach'])).trim();
  await recorder.run(['watch', task]);
  const { events } = recorder;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'send-and-watch.cast'), toCast(events));
  writeFileSync(path.join(folder, 'send-and-watch.svg'), renderSvg(events));
} finally {
  await cleanup.run();
}
process.exit();
