/** The code of a page of docs/frameworks, as files of the package, so that `longhaul/agent` resolves. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after } from 'node:test';
import type { Agent } from 'longhaul/agent';
import { startScriptedModel } from 'longhaul/testing';

const root = path.join(import.meta.dirname, '../../..');

/** Writes the blocks of code that start with the name of their file, and returns their folder. It is removed after the tests. */
export function writePage(name: string): string {
  const page = readFileSync(path.join(root, `docs/frameworks/${name}.md`), 'utf8');
  const blocks = [...page.matchAll(/^```ts\n\/\/ (\S+\.ts)\n(.*?)^```/gms)];
  assert.ok(blocks.length > 0, `${name} has no module`);
  mkdirSync(path.join(root, '.longhaul'), { recursive: true });
  const folder = mkdtempSync(path.join(root, '.longhaul/page-'));
  after(() => rmSync(folder, { recursive: true }));
  for (const [, file = '', code = ''] of blocks) writeFileSync(path.join(folder, file), code);
  return folder;
}

/** Imports the module of a page, with the offline model. */
export async function importPage<T>(name: string): Promise<T & { default: Agent }> {
  const model = await startScriptedModel();
  after(() => model.close());
  process.env['GEMINI_API_KEY'] = 'offline';
  process.env['GOOGLE_GEMINI_BASE_URL'] = model.url;
  return import(path.join(writePage(name), 'agent.ts')) as Promise<T & { default: Agent }>;
}
