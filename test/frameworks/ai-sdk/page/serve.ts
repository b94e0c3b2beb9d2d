/** Builds the page of a chat with the packages of the folder in use, and serves it. */
import { createServer } from 'node:http';
import path from 'node:path';
import { build } from 'rolldown';
import type { Cleanup } from '../../../support/cleanup.ts';
import { listen } from '../../../support/network/listen.ts';

const frameworks = path.resolve(import.meta.dirname, '../..', process.env['FRAMEWORKS'] ?? 'highest');
const html =
  '<!doctype html><title>Chat</title><div id="root"></div><script type="module" src="/page.js"></script>';

/** @returns its origin */
export async function servePage(t: Cleanup): Promise<string> {
  const script = await buildPage();
  const server = createServer((request, response) => {
    const isScript = request.url === '/page.js';
    response
      .setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
      .end(isScript ? script : html);
  });
  return listen(t, server);
}

async function buildPage(): Promise<string> {
  const { output } = await build({
    cwd: import.meta.dirname,
    input: 'page.tsx',
    platform: 'browser',
    write: false,
    logLevel: 'silent',
    tsconfig: false,
    resolve: { modules: ['node_modules', path.join(frameworks, 'node_modules')] },
    transform: {
      target: 'es2023',
      define: { 'process.env.NODE_ENV': '"production"' },
      jsx: { runtime: 'automatic', importSource: 'react' },
    },
    output: { format: 'esm', codeSplitting: false },
  });
  return output[0].code;
}
