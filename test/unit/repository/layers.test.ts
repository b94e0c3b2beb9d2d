/**
 * The linter enforces the layers of the code (see "Layers" in ARCHITECTURE.md). Each rule is tested with a planted
 * violation, because a rule that matches no import never fails.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';

const root = path.resolve(import.meta.dirname, '../../..');

/** From the lowest to the highest: a layer imports only the layers listed before it. */
const layers = [
  'domain',
  'agent',
  'crypto',
  'net',
  'runtime',
  'gcp',
  'db',
  'a2a',
  'webhooks',
  'outbox',
  'mcp',
];
const services = ['api', 'worker', 'dispatcher', 'admin', 'migrate', 'local', 'cli'];

/** A file, its import, and the file that the import resolves to. */
interface Planted {
  file: string;
  imports: string;
  target: string;
}

const toHigherLayer: Planted[] = layers.flatMap((lower, index) =>
  layers.slice(index + 1).flatMap((higher) => [
    { file: `shared/${lower}/planted.ts`, imports: `../${higher}/x.ts`, target: `shared/${higher}/x.ts` },
    {
      file: `shared/${lower}/planted.ts`,
      imports: `#shared/${higher}/x.ts`,
      target: `shared/${higher}/x.ts`,
    },
    {
      file: `shared/${lower}/deep/planted.ts`,
      imports: `../../${higher}/x.ts`,
      target: `shared/${higher}/x.ts`,
    },
  ]),
);
const toService: Planted[] = layers.flatMap((layer) =>
  services.map((service) => ({
    file: `shared/${layer}/planted.ts`,
    imports: `../../services/${service}/x.ts`,
    target: `services/${service}/x.ts`,
  })),
);
const betweenServices: Planted[] = services.flatMap((from) =>
  services
    .filter((to) => to !== from)
    .flatMap((to) => [
      { file: `services/${from}/planted.ts`, imports: `../${to}/x.ts`, target: `services/${to}/x.ts` },
      {
        file: `services/${from}/deep/planted.ts`,
        imports: `../../${to}/x.ts`,
        target: `services/${to}/x.ts`,
      },
      { file: `services/${from}/planted.ts`, imports: `#services/${to}/x.ts`, target: `services/${to}/x.ts` },
    ]),
);
const toSdk: Planted[] = [
  ...layers.map((layer) => `shared/${layer}`),
  ...services.map((name) => `services/${name}`),
].flatMap((folder) => [
  { file: `${folder}/planted.ts`, imports: '../../sdk/agent.ts', target: 'sdk/agent.ts' },
  { file: `${folder}/deep/planted.ts`, imports: '../../sdk/agent.ts', target: 'sdk/agent.ts' },
  { file: `${folder}/planted.ts`, imports: 'longhaul/agent', target: 'sdk/agent.ts' },
]);
const fromSdk: Planted[] = services
  .filter((service) => service !== 'worker' && service !== 'local')
  .flatMap((service) => [
    { file: 'sdk/planted.ts', imports: `#services/${service}/x.ts`, target: `services/${service}/x.ts` },
    {
      file: 'sdk/deep/planted.ts',
      imports: `../../services/${service}/x.ts`,
      target: `services/${service}/x.ts`,
    },
  ]);
const impure: Planted[] = ['node:fs', 'kysely', '../agent/x.ts'].map((imports) => ({
  file: 'shared/domain/planted.ts',
  imports,
  target: 'shared/agent/x.ts',
}));

/** The folders of the console, from the lowest to the highest. */
const consoleFolders = ['lib', 'api', 'ui', 'shell', 'screens'];
const inConsole: Planted[] = [
  ...consoleFolders.flatMap((lower, index) =>
    consoleFolders.slice(index + 1).map((higher) => ({
      file: `console/${lower}/planted.ts`,
      imports: `../${higher}/x.ts`,
      target: `console/${higher}/x.ts`,
    })),
  ),
  ...consoleFolders.flatMap((name) =>
    ['#services/api/x.ts', '#shared/db/x.ts', '#shared/agent/x.ts', 'longhaul/client'].map((imports) => ({
      file: `console/${name}/planted.ts`,
      imports,
      target: 'services/api/x.ts',
    })),
  ),
];

const folder = mkdtempSync(path.join(os.tmpdir(), 'longhaul-layers-'));
after(() => rmSync(folder, { recursive: true }));

let trees = 0;

/** Lints files in a tree of their own under the project's configuration. @returns the files that a rule reports */
function lint(files: Record<string, string>, rule: string): string[] {
  const tree = path.join(folder, String((trees += 1)));
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
    writeFileSync(path.join(tree, file), text);
  }
  copyFileSync(path.join(root, '.oxlintrc.json'), path.join(tree, '.oxlintrc.json'));
  const oxlint = path.join(root, 'node_modules/.bin/oxlint');
  const { stdout } = spawnSync(oxlint, ['--format=json'], { cwd: tree, encoding: 'utf8' });
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
  return [...new Set(diagnostics.filter(({ code }) => code.includes(rule)).map(({ filename }) => filename))];
}

/** Plants all violations in one tree, each in a file of its own, and asserts that the linter reports every file. */
function assertReported(planted: readonly Planted[], kind: 'value' | 'type'): void {
  const files: Record<string, string> = {};
  const violating: string[] = [];
  for (const [index, { file, imports, target }] of planted.entries()) {
    const name = file.replace('planted.ts', `planted-${index}.ts`);
    files[name] =
      kind === 'value'
        ? `import { x } from '${imports}';\nexport const y = x;\n`
        : `import type { X } from '${imports}';\nexport type Y = X;\n`;
    files[target] ??= 'export const x = 1;\nexport type X = 1;\n';
    violating.push(name);
  }
  const reported = new Set(lint(files, 'no-restricted-imports'));
  assert.deepEqual(
    violating.filter((file) => !reported.has(file)).map((file) => files[file]),
    [],
    'imports that no rule reports',
  );
}

describe('layers', () => {
  test('lists every folder of shared and services', () => {
    const foldersIn = (name: string) => readdirSync(path.join(root, name)).toSorted();
    assert.deepEqual(foldersIn('shared'), layers.toSorted());
    assert.deepEqual(foldersIn('services'), services.toSorted());
  });

  for (const kind of ['value', 'type'] as const) {
    test(`reports a ${kind} import from a higher layer`, () => assertReported(toHigherLayer, kind));
    test(`reports a ${kind} import of a service by shared`, () => assertReported(toService, kind));
    test(`reports a ${kind} import between services`, () => assertReported(betweenServices, kind));
    test(`reports a ${kind} import of sdk by the system`, () => assertReported(toSdk, kind));
    test(`reports a ${kind} import of other services by sdk`, () => assertReported(fromSdk, kind));
    test(`reports a ${kind} import of the system by the console`, () => assertReported(inConsole, kind));
    test(`reports a ${kind} import of anything else by the domain`, () => assertReported(impure, kind));
  }

  test('reports an import cycle of values', () => {
    const files = {
      'shared/db/a.ts': "import { b } from './b.ts';\nexport const a = () => b;\n",
      'shared/db/b.ts': "import { a } from './a.ts';\nexport const b = () => a;\n",
    };
    assert.deepEqual(lint(files, 'no-cycle').toSorted(), Object.keys(files));
  });

  test('reports an import cycle of types', () => {
    const files = {
      'shared/db/a.ts': "import type { B } from './b.ts';\nexport type A = B | 1;\n",
      'shared/db/b.ts': "import type { A } from './a.ts';\nexport type B = A | 2;\n",
    };
    assert.deepEqual(lint(files, 'no-cycle').toSorted(), Object.keys(files));
  });
});
