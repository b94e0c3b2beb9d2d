/** Every server requirement of the specification is cited by a test. */
import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { getLink, requirements } from '../../conformance/requirements.ts';

const root = path.resolve(import.meta.dirname, '../..');

async function readCitations(): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for await (const file of glob(['{unit,integration,scenarios}/**/*.ts', 'support/**/*-scenario.ts'], {
    cwd: root,
  })) {
    const text = await readFile(path.join(root, file), 'utf8');
    for (const [, id = ''] of text.matchAll(/\[([A-Z_]+(?:-[A-Z]+)+-\d{3}[a-z]?)\]/g)) {
      found.set(id, [...(found.get(id) ?? []), file]);
    }
  }
  return found;
}

const cited = await readCitations();
const known = new Set(requirements.map(({ id }) => id));

describe('server requirements', () => {
  test('are listed once each', () => {
    assert.equal(known.size, requirements.length);
  });

  test('are all cited by a test', () => {
    const uncited = requirements.filter(({ id }) => !cited.has(id));
    assert.deepEqual(
      uncited.map((requirement) => `${requirement.id} ${requirement.text} ${getLink(requirement)}`),
      [],
    );
  });

  test('include every requirement that a test cites', () => {
    assert.deepEqual(
      [...cited.keys()].filter((id) => !known.has(id)),
      [],
    );
  });
});
