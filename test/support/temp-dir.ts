/** Temporary files, which are removed when the test ends. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Cleanup } from './cleanup.ts';

export function createTempDir(t: Cleanup): string {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Writes a file to a directory of its own, and returns its path. */
export function writeTempFile(t: Cleanup, name: string, content: string): string {
  const file = path.join(createTempDir(t), name);
  writeFileSync(file, content);
  return file;
}
