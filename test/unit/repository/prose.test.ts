/** The prose check of `npm run check:prose`: planted phrases are reported, everyday English is not. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { checkProse } from '../../tools/prose/check.ts';
import { patterns } from '../../tools/prose/patterns.ts';

const names = (file: string, source: string): string[] => checkProse(file, source).map(({ name }) => name);

/** One sentence or more for each pattern. */
const planted: Record<string, readonly string[]> = {
  stand: ['The card stands at this path.', 'The rules stood in a file.'],
  tell: ['The log tells why.', 'Mistakes are told with their line.'],
  'go-on': ['The stream goes on.', 'Tasks went on.'],
  begin: ['A turn begins with a claim.', 'Tasks that have begun are kept.'],
  anew: ['The list is read anew.'],
  beside: ['A service beside the others.', 'Besides, it is slow.'],
  'also-if': ['It is kept also if the process dies.'],
  'is-no': ['A number is no option.'],
  'is-to-be': ['The message is to be sent.'],
  whoever: ['For whoever works on this.', 'It is open to nobody.'],
  'sentence-start': [
    'What is polled is cached.',
    'It failed. As a consequence it stops.',
    'Of two keys the first counts.',
    '- Who waits is served first.',
  ],
  'at-most': ['It takes 5 seconds at most.', 'Streams are 100 at most.', 'Two, at most.'],
  where: ['It is sent where it has changed.', 'Where there is no key, it fails.'],
  archaic: ['The relay rings.', 'Lest it fails.', 'The costs are reckoned.'],
};

const clean = [
  'Returns the task, or undefined if it does not exist.',
  'What happens when a worker dies?',
  'It is no longer needed, and there is no key.',
  'The stand-in tells them apart.',
  'There is no user "nobody". Could you tell me why?',
  '`%TASK%` stands for a task.',
  'Names the place where the file lives.',
  'Use `begin` and `go on` in code.',
  'Waits at most 5 seconds, or at most until the deadline.',
];

describe('the patterns', () => {
  test('have a planted sentence each', () => {
    assert.deepEqual(Object.keys(planted).sort(), patterns.map(({ name }) => name).sort());
  });

  for (const [name, sentences] of Object.entries(planted)) {
    test(`report the phrase of "${name}"`, () => {
      for (const sentence of sentences) assert.deepEqual(names('page.md', sentence), [name], sentence);
    });
  }

  test('accept everyday English', () => {
    for (const sentence of clean) assert.deepEqual(names('page.md', sentence), [], sentence);
  });
});

describe('the files', () => {
  test('reports the line of a phrase that is wrapped', () => {
    const [finding] = checkProse('page.md', 'First line.\n\nThe stream goes\non until it ends.');
    assert.deepEqual([finding?.line, finding?.phrase], [3, 'goes on']);
  });

  test('reads comments, messages and titles of TypeScript', () => {
    const source = [
      '/** Tells the time. */',
      '// It was read anew.',
      'throw new Error("the key is no valid key");',
      "test('goes on when a worker dies', () => {});",
    ].join('\n');
    assert.deepEqual(
      checkProse('a.ts', source).map(({ line, name }) => [line, name]),
      [
        [1, 'tell'],
        [2, 'anew'],
        [3, 'is-no'],
        [4, 'go-on'],
      ],
    );
  });

  test('ignores code, names, statements and examples', () => {
    const source = [
      'const begin = tell(anew); // returns the time',
      "const sql = 'select anew from tasks where begin is null';",
      "const state = 'goes on';",
      String.raw`const quote = /["'/]/; // a quote`,
      '/**\n * An example:\n *\n * ```ts\n * // tells the time\n * ```\n */',
    ].join('\n');
    assert.deepEqual(names('a.ts', source), []);
    assert.deepEqual(names('a.md', '```sh\ntell anew\n```\n\n[the page](https://example.com/go on)'), []);
  });

  test('reads comments and descriptions of YAML and shell scripts', () => {
    assert.deepEqual(names('a.yaml', '# Tells the time\nname: tell\ndescription: Told by the clock.'), [
      'tell',
      'tell',
    ]);
    assert.deepEqual(names('a.sh', '#!/usr/bin/env bash\n# tells the time\necho tell'), ['tell']);
  });

  test('skips a line with an allowance before it', () => {
    assert.deepEqual(names('a.ts', '// prose-ok: quotes the specification\n// It shall be sent.'), []);
    assert.deepEqual(names('a.md', '<!-- prose-ok: a quotation -->\nIt shall be sent.'), []);
    assert.deepEqual(names('a.md', '<!-- prose-ok: a quotation -->\n\nIt shall be sent.'), ['archaic']);
  });

  test('limits test titles to 80 characters and one fact', () => {
    const titled = (title: string): string[] => names('a.test.ts', `test('${title}', () => {});`);
    assert.deepEqual(titled('reuses the same task for a repeated message [CORE-SEND-001]'), []);
    assert.deepEqual(titled('x'.repeat(81)), ['title']);
    assert.deepEqual(titled(`${'x'.repeat(75)} [CORE-SEND-001, CORE-SEND-002]`), []);
    assert.deepEqual(titled('returns the task; keeps the message'), ['title']);
  });
});

describe('npm run check:prose', () => {
  const root = path.join(import.meta.dirname, '../../..');
  const run = (file: string) =>
    spawnSync(process.execPath, [path.join(root, 'test/tools/prose/main.ts'), file], { encoding: 'utf8' });

  test('prints the place, the phrase and the advice, and exits with 1', (t) => {
    const dir = mkdtempSync(path.join(root, 'docs/.prose-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const file = path.relative(root, path.join(dir, 'planted.md'));
    writeFileSync(path.join(root, file), 'One.\n\nThe card stands here.\n');
    const failed = run(file);
    assert.equal(failed.status, 1);
    assert.equal(failed.stdout, `${file}:3  "stands"  use "is", "lives" or "is served" [stand]\n`);
    writeFileSync(path.join(root, file), 'The card is served here.\n');
    assert.deepEqual([run(file).status, run(file).stdout], [0, '']);
  });
});
