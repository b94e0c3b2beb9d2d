/** The pages match the code: links and anchors resolve, named paths and commands exist, quoted log messages are logged. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

const root = path.join(import.meta.dirname, '../../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const ignored = ['node_modules', '.git', '.longhaul', 'report', 'dist'];
const list = (pattern: string): string[] =>
  globSync(pattern, { cwd: root, exclude: (name) => ignored.includes(path.basename(name)) });

const pages = [...list('**/*.md'), ...list('.github/**/*.md')];
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };

/** Returns the anchors that GitHub generates for the headings of a page. */
function getAnchors(text: string): Set<string> {
  const found = new Set<string>();
  for (const [, heading = ''] of removeCode(text).matchAll(/^#+ (.*)$/gm)) {
    const slug = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-');
    let unique = slug;
    for (let n = 1; found.has(unique); n++) unique = `${slug}-${n}`;
    found.add(unique);
  }
  return found;
}

function removeCode(text: string): string {
  return text.replaceAll(/^```.*?^```/gms, '');
}

/** Returns the relative links whose file or anchor does not exist. */
function findBrokenLinks(page: string, text: string): string[] {
  const targets = [...removeCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false;
    const [file = '', anchor] = target.split('#');
    const full = file === '' ? page : path.join(path.dirname(page), file);
    if (!existsSync(path.join(root, full))) return true;
    return anchor !== undefined && !getAnchors(full === page ? text : read(full)).has(anchor);
  });
}

/** Returns the paths in backticks or in the tree of ARCHITECTURE.md that do not exist. */
function findMissingPaths(text: string): string[] {
  const roots = 'services|shared|test|docs|deploy|\\.github';
  const named = text.matchAll(new RegExp(`(?:^|\`)((?:${roots})/[\\w./-]*)(?=\`|\\s)`, 'gm'));
  return [...named].map(([, name = '']) => name).filter((name) => !existsSync(path.join(root, name)));
}

/** Returns the scripts of package.json that a page names and that do not exist. */
function findMissingScripts(text: string): string[] {
  return [...text.matchAll(/npm run ([a-z](?:[\w:-]*\w)?)/g)]
    .map(([, name = '']) => name)
    .filter((name) => !Object.hasOwn(scripts, name));
}

describe('the pages', () => {
  for (const page of pages) {
    test(`${page} links to files and headings that exist`, () => {
      assert.deepEqual(findBrokenLinks(page, read(page)), []);
    });

    test(`${page} names paths and scripts that exist`, () => {
      const text = read(page);
      assert.deepEqual([...findMissingPaths(text), ...findMissingScripts(text)], []);
    });
  }

  test('docs/README.md links to every page of docs', () => {
    const index = read('docs/README.md');
    const unlisted = pages.filter((page) => {
      const relative = path.relative('docs', page);
      return page.startsWith('docs/') && relative !== 'README.md' && !index.includes(`](${relative})`);
    });
    assert.deepEqual(unlisted, ['docs/bench/figures.md'], 'the benchmark page links to its figures');
  });

  test('docs/operate/security.md proves each line by a test, or says that it is not met', () => {
    const [, tables = ''] = /^## OWASP.*?$(.*)/ms.exec(read('docs/operate/security.md')) ?? [];
    const lines = tables.split('\n').flatMap((line) => {
      const isEntry = line.startsWith('| ') && line !== '| | state | proof |';
      return isEntry ? [line.split(' | ')] : [];
    });
    const named = lines.flatMap(([name = '']) => /\b(?:API\d+|13\.\d)\b/.exec(name) ?? []);
    const owasp = Array.from({ length: 10 }, (_none, index) => `API${index + 1}`);
    assert.deepEqual([...new Set(named)], [...owasp, '13.1', '13.2', '13.3', '13.4']);
    const unproven = lines.filter(([, state = '', proof = '']) => {
      const tests = [...proof.matchAll(/\]\((?:\.\.\/)+(test\/\S+\.ts)\)/g)].map(([, file = '']) => file);
      if (state.startsWith('not met')) return tests.length > 0;
      return tests.length === 0 || tests.some((file) => !existsSync(path.join(root, file)));
    });
    assert.deepEqual(unproven, []);
  });

  test('ARCHITECTURE.md answers each question with files that exist', () => {
    const [, section = ''] = /## Which files to open\n(.*?)\n## /s.exec(read('ARCHITECTURE.md')) ?? [];
    const questions = section.split(/^\*\*/m).slice(1);
    assert.equal(questions.length, 3);
    for (const question of questions) {
      const files = [...question.matchAll(/\]\(([^)]+)\)/g)].map(([, file = '']) => file);
      assert.ok(files.length >= 1 && files.length <= 3, question);
      assert.ok(
        files.every((file) => statSync(path.join(root, file)).isFile()),
        question,
      );
    }
  });
});

describe('the figures of README.md', () => {
  interface Case {
    at: string;
    figures: { name: string; value: number }[];
  }
  const { cases } = JSON.parse(read('docs/bench/results.json')) as { cases: Record<string, Case> };
  const names = ['accept', 'whole', 'steps', 'latency', 'events', 'memory'];
  const get = (name: string, figure: string): number => {
    const found = cases[name]?.figures.find((each) => each.name === figure);
    assert.ok(found, `docs/bench/results.json has no ${figure} of ${name}`);
    return found.value;
  };
  const toRate = (perSecond: number): string => (Math.round(perSecond / 100) * 100).toLocaleString('en-US');
  const toTimes = (ratio: number): string => String(Math.floor(ratio));
  const rows = [
    `| tasks accepted (stored) | ${toRate(get('accept', 'Longhaul'))} a second: ${toTimes(get('accept', 'of the SDK with PostgreSQL'))} times the A2A SDK's server with its PostgreSQL store |`,
    `| whole tasks, through Pub/Sub and a worker | ${toRate(get('whole', 'Longhaul'))} a second: ${toTimes(get('whole', 'of the SDK with PostgreSQL'))} times that server. A single task takes ${Math.round(get('latency', 'whole task, p50'))} ms |`,
    `| durable steps of running tasks | ${toRate(get('steps', 'Longhaul, steps'))} a second: ${toTimes(get('steps', 'Longhaul, steps') / get('steps', 'DBOS, steps'))} times DBOS |`,
    `| latency of an event, from a worker to a stream | ${Math.round(get('events', 'one stream, p50'))} ms (median) |`,
    `| memory | ${Math.round(get('memory', 'a task in flight, held after a collection'))} KB for a running task, ${Math.round(get('memory', 'an open stream, held after a collection'))} KB for an open stream |`,
  ].join('\n');

  test('are those of docs/bench/results.json', () => {
    assert.ok(read('README.md').includes(rows), `README.md must have:\n${rows}`);
  });

  test('come from one run, on the day that README.md says', () => {
    const [, day] = /^Measured on (\S+),/m.exec(read('README.md')) ?? [];
    const days = names.map((name) => `${name} ${cases[name]?.at.slice(0, 10)}`);
    const again = `run npm run bench -- ${names.join(' ')}`;
    assert.deepEqual(
      days,
      names.map((name) => `${name} ${day}`),
      again,
    );
  });
});

describe('docs/frameworks', () => {
  for (const page of ['adk', 'ai-sdk', 'langgraph']) {
    // `npm run frameworks` runs the module.
    test(`${page}.md has the module that its diff results in`, () => {
      const text = read(`docs/frameworks/${page}.md`);
      const [, diff = ''] = /^```diff\n(.*?)^```/ms.exec(text) ?? [];
      const [, module] = /^```ts\n\/\/ agent\.ts\n(.*?)^```/ms.exec(text) ?? [];
      const lines = diff.split('\n').filter((line) => !line.startsWith('-'));
      assert.equal(module, lines.map((line) => line.slice(1)).join('\n'));
    });
  }
});

describe('quoted log messages', () => {
  const sources = [...list('services/**/*.ts'), ...list('shared/**/*.ts')].map(read).join('\n');
  const getQuotes = (text: string): string[] =>
    [...removeCode(text).matchAll(/`([a-z][a-z-]* [^`]*)`/gi)]
      .map(([, quote = '']) => quote)
      .filter(
        (quote) => !/^(?:gcloud|longhaul|npm|npx|curl|git|node|openssl|deploy)\b|[=/:{<*×]|__/.test(quote),
      );

  for (const page of ['docs/operate/runbook.md', 'docs/operate/deploy.md']) {
    test(`${page} quotes messages that the services log`, () => {
      // The smoke test produces the messages of refusals (test/scenarios/long/deploy/smoke.test.ts).
      const text = read(page)
        .replace(/<!-- access:start.*<!-- access:end/s, '')
        .replaceAll(/^\| 40\d, .*$/gm, '');
      const quotes = getQuotes(text);
      assert.ok(quotes.length > 3, quotes.join());
      assert.deepEqual(
        quotes.filter((quote) => !['"', "'", '`'].some((mark) => sources.includes(mark + quote))),
        [],
      );
    });
  }
});

describe('the checks', () => {
  test('report a broken link, anchor, path and script', () => {
    const text =
      '# One\n[a](gone.md) [b](#one) [c](#two) [d](https://example.com)\n`shared/gone.ts` npm run gone';
    assert.deepEqual(findBrokenLinks('README.md', text), ['gone.md', '#two']);
    assert.deepEqual(findMissingPaths(text), ['shared/gone.ts']);
    assert.deepEqual(findMissingScripts(text), ['gone']);
  });
});
