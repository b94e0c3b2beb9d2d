/** The documentation in the package: `docs`, `llms.txt`, `llms-full.txt` and the skill, as `npm run build` writes them. */
import assert from 'node:assert/strict';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { parse } from 'yaml';
import { copyFiles } from '../../../build/files.ts';
import { listLinks, mapLinks, removeLinks, resolveLink } from '../../../build/links.ts';

const root = path.join(import.meta.dirname, '../../..');
const dist = mkdtempSync(path.join(os.tmpdir(), 'longhaul-docs-'));
after(() => rmSync(dist, { recursive: true }));
copyFiles(root, dist, 'A summary.');
const read = (file: string): string => readFileSync(path.join(dist, file), 'utf8');
const has = (file: string): boolean => existsSync(path.join(dist, file));
const pages = globSync('{*.md,docs/**/*.md,deploy/**/*.md,skills/**/*.md,llms*.txt}', { cwd: dist });
const index = read('llms.txt');
const listed = listLinks(index).map(({ target }) => target);

describe('the documentation in the package', () => {
  test('has every page of docs, and no pictures', () => {
    const expected = globSync('docs/**/*.md', { cwd: root });
    assert.deepEqual(
      expected.filter((page) => !has(page)),
      [],
    );
    assert.ok(has('docs/agent.schema.json') && has('docs/agents/orders.yaml'));
    assert.equal(has('docs/images'), false);
  });

  test('links only to files of the package and to addresses', () => {
    assert.ok(pages.length > 50, `${pages.length} pages`);
    const broken = pages.flatMap((page) =>
      listLinks(read(page))
        .map(({ target }) => resolveLink(page, target))
        .filter((file) => file !== undefined && !has(file))
        .map((file) => `${page}: ${file}`),
    );
    assert.deepEqual(broken, []);
  });

  test('keeps the text of links that lead outside', () => {
    const text = 'See [its `test`](../test/a.ts), ![a picture](images/a.webp) and [b](b.md#c). `[x](y.md)`';
    assert.equal(
      removeLinks('docs/a.md', text, (file) => file === 'docs/b.md'),
      'See its `test`, a picture and [b](b.md#c). `[x](y.md)`',
    );
  });
});

describe('llms.txt', () => {
  test('has a title, a summary, and lists of links', () => {
    assert.match(index, /^# Longhaul\n\n> A summary\.\n\n[^#]+\n## Start\n\n- \[Longhaul\]\(README\.md\)\n/);
    const [, ...sections] = index.split(/^## /m);
    assert.equal(sections.at(-1)?.split('\n')[0], 'Optional');
    for (const section of sections) {
      const [title, blank, ...lines] = section.trimEnd().split('\n');
      assert.equal(blank, '', title);
      for (const line of lines) assert.match(line, /^- \[[^\]]+\]\([^)]+\)(?:: \S.*)?$/);
    }
    assert.match(index, /^- \[Waits\]\(docs\/develop\/waits\.md\): sleeps, callbacks, /m);
  });

  test('lists every page of docs once', () => {
    const unlisted = pages.filter((page) => page.startsWith('docs/') && !listed.includes(page));
    assert.deepEqual(unlisted.toSorted(), ['docs/README.md', 'docs/bench/figures.md']);
    assert.equal(new Set(listed).size, listed.length);
  });
});

test('llms-full.txt has the whole text of every listed page, in this order', () => {
  const full = read('llms-full.txt');
  const [, ...texts] = full.split(/^---\n\nFile: (?=\S+\.md\n)/m);
  const withoutLinks = (text: string): string => mapLinks(text, (link) => link.text).trim();
  assert.deepEqual(
    texts.map((text) => text.split('\n')[0]),
    listed,
  );
  for (const [position, file] of listed.entries())
    assert.equal(withoutLinks(texts[position] ?? ''), withoutLinks(`${file}\n\n${read(file)}`));
  assert.match(full, /\]\(docs\/develop\/testing\.md#replays\)/);
});

describe('the skill', () => {
  const [, header = '', body = ''] = /^---\n(.*?)\n---\n(.*)$/s.exec(read('skills/longhaul/SKILL.md')) ?? [];

  test('has the name of its folder and a description, within the bounds of the format', () => {
    const { name, description, ...others } = parse(header) as Record<string, string>;
    assert.equal(name, 'longhaul');
    assert.ok(description !== undefined && description.length > 100 && description.length <= 1024);
    assert.deepEqual(others, {});
    assert.ok(body.split('\n').length < 500);
  });

  test('names files that the package has', () => {
    const named = [...body.matchAll(/node_modules\/longhaul\/([\w./-]*\w)/g)].map(([, file = '']) => file);
    assert.ok(named.length > 10);
    // Declarations are written from the sources of the same name.
    const exists = (file: string): boolean =>
      has(file) || existsSync(path.join(root, file.replace(/\.d\.ts$/, '.ts')));
    assert.deepEqual(
      named.filter((file) => !exists(file)),
      [],
    );
  });
});
