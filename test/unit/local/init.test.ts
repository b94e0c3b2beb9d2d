/** The files that `longhaul init` writes: an agent of each kind that loads, and nothing overwritten. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { loadDefinition } from '#shared/agent/load-definition.ts';
import { languages } from '#services/cli/init/files.ts';
import { createProject } from '#services/cli/init/project.ts';
import { askOptions } from '#services/cli/init/questions.ts';
import { createProgram } from '#services/cli/program.ts';
import { run } from '../../support/processes/run.ts';
import { createTempDir } from '../../support/temp-dir.ts';

const name = 'Bob\'s "agent": 1';

describe('longhaul init', () => {
  for (const language of languages) {
    test(`writes an agent in ${language} that loads`, async (t) => {
      const folder = path.join(createTempDir(t), 'My Agent');
      mkdirSync(path.join(folder, 'node_modules'), { recursive: true });
      symlinkSync(process.cwd(), path.join(folder, 'node_modules/longhaul'));
      const files = createProject(folder, { language, name });
      const read = (name: string) => readFileSync(path.join(folder, name), 'utf8');
      const source = { agentFile: undefined, agentModule: undefined };
      const file = files.find((each) => /^agent\.(?:yaml|[jt]s)$/.test(each)) ?? '';
      const key = file.endsWith('.yaml') ? 'agentFile' : 'agentModule';
      const definition = await loadDefinition({ ...source, [key]: path.join(folder, file) });
      assert.equal(definition.name, name);
      const manifest = JSON.parse(read('package.json')) as { name: string; dependencies: object };
      assert.deepEqual([manifest.name, Object.keys(manifest.dependencies)], ['my-agent', ['longhaul']]);
      const isGateway = language === 'gateway';
      assert.equal(
        files.some((each) => each.startsWith('agent.test.')),
        !isGateway,
      );
      // The types of frameworks, which their users cannot change, do not have to pass.
      if (language === 'typescript') assert.match(read('tsconfig.json'), /"skipLibCheck": true/);
      assert.equal(definition.a2a?.url, isGateway ? 'http://localhost:9999' : undefined);
    });
  }

  test('proposes npm test only for an agent that has a test', async (t) => {
    const print = t.mock.method(console, 'log', () => {});
    for (const kind of ['typescript', 'gateway']) {
      await createProgram().parseAsync(['init', createTempDir(t), '--agent', kind, '--name', name], {
        from: 'user',
      });
    }
    const printed = print.mock.calls.map(({ arguments: [text] }) => String(text).split('Next: ')[1]);
    const rest = 'then npx longhaul dev';
    assert.deepEqual(printed, [`npm install, npm test, ${rest}`, `npm install, ${rest}`]);
  });

  test('asks for the name and the kind on a terminal, until the answer is valid', async () => {
    const output = new PassThrough();
    const input = Readable.from(['Refunds\n', '7\n', '2\n']);
    assert.deepEqual(await askOptions({}, { input, output }), { name: 'Refunds', language: 'typescript' });
    const asked = String(output.read());
    assert.match(asked, /^Name of the agent \(My agent\): Kind of agent:\n {2}1 {2}a Gemini agent as data/);
    assert.match(asked, /"7" is not one of them\. Expected a number from 1 to 4 \(1\): $/);
  });

  test('takes the defaults for empty answers, and asks for nothing that a flag says', async () => {
    const terminal = () => ({ input: Readable.from([]), output: new PassThrough() });
    assert.deepEqual(await askOptions({}, terminal()), { language: 'yaml' });
    const known = { name: 'Mine', language: 'javascript' } as const;
    const { input, output } = terminal();
    assert.deepEqual(await askOptions(known, { input, output }), known);
    assert.equal(output.read(), null);
  });

  test('keeps the dependencies of an existing package.json', (t) => {
    const folder = createTempDir(t);
    const dependencies = { longhaul: 'file:../longhaul-0.1.0.tgz' };
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'mine', dependencies }));
    createProject(folder, { language: 'yaml', name });
    const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as object;
    assert.partialDeepStrictEqual(manifest, { name: 'mine', type: 'module', dependencies });
  });

  test('copies the tarball of the package into the folder, for the image', (t) => {
    const dir = createTempDir(t);
    const folder = path.join(dir, 'mine');
    mkdirSync(folder);
    writeFileSync(path.join(dir, 'longhaul-0.1.0.tgz'), 'packed');
    const dependencies = { longhaul: 'file:../longhaul-0.1.0.tgz', ms: '^2.0.0' };
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ dependencies }));
    const files = createProject(folder, { language: 'yaml', name });
    assert.ok(files.includes('longhaul-0.1.0.tgz'));
    assert.equal(readFileSync(path.join(folder, 'longhaul-0.1.0.tgz'), 'utf8'), 'packed');
    const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as object;
    assert.partialDeepStrictEqual(manifest, {
      dependencies: { longhaul: 'file:longhaul-0.1.0.tgz', ms: '^2.0.0' },
    });
  });

  test('writes a Dockerfile that installs binaries and refuses packages outside', async (t) => {
    const folder = createTempDir(t);
    createProject(folder, { language: 'yaml', name });
    const dockerfile = readFileSync(path.join(folder, 'Dockerfile'), 'utf8');
    assert.doesNotMatch(dockerfile, /omit=optional/);
    const [, check = ''] = /^RUN (! grep .*)$/m.exec(dockerfile) ?? [];
    const build = () => run('sh', ['-c', check], { cwd: folder });
    assert.equal((await build()).status, 0);
    for (const outside of ['file:../longhaul-0.1.0.tgz', 'file:/tmp/longhaul-0.1.0.tgz']) {
      writeFileSync(
        path.join(folder, 'package.json'),
        JSON.stringify({ dependencies: { longhaul: outside } }),
      );
      const { status, stdout } = await build();
      assert.equal(status, 1, outside);
      assert.match(stdout, /longhaul-0\.1\.0\.tgz.*\nCopy it into this folder, and run npm install/);
    }
  });

  test('overwrites no file', (t) => {
    const folder = createTempDir(t);
    writeFileSync(path.join(folder, 'agent.yaml'), 'mine');
    assert.throws(
      () => createProject(folder, { language: 'yaml', name }),
      /already has agent\.yaml: expected a folder without/,
    );
    assert.equal(readFileSync(path.join(folder, 'agent.yaml'), 'utf8'), 'mine');
  });
});
