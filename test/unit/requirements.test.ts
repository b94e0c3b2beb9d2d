/** Every requirement of the specification on servers is cited by a test. */
import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { getLink, requirements } from '../conformance/requirements.ts';

const root = path.resolve(import.meta.dirname, '..');

async function citations(): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for await (const file of glob('{unit,integration,scenarios}/**/*.test.ts', { cwd: root })) {
    const text = await readFile(path.join(root, file), 'utf8');
    for (const [, id = ''] of text.matchAll(/\[([A-Z_]+(?:-[A-Z]+)+-\d{3}[a-z]?)\]/g)) {
      found.set(id, [...(found.get(id) ?? []), file]);
    }
  }
  return found;
}

test('every requirement is cited by a test, and every citation is of a requirement', async () => {
  const cited = await citations();
  const known = new Set(requirements.map(({ id }) => id));
  assert.equal(known.size, requirements.length, 'each id stands once');
  const uncited = requirements.filter(({ id }) => !cited.has(id));
  assert.deepEqual(
    uncited.map((one) => `${one.id} ${one.text} ${getLink(one)}`),
    [],
  );
  assert.deepEqual(
    [...cited.keys()].filter((id) => !known.has(id)),
    [],
    'no such requirement',
  );
});
