/** The files that `longhaul init` writes: an agent of each kind that loads, and nothing overwritten. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, test } from 'node:test';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { languages } from '#services/cli/init/files.ts';
import { createProject } from '#services/cli/init/project.ts';
import { createTempDir } from '../../support/temp-dir.ts';

describe('longhaul init', () => {
  for (const language of languages) {
    test(`writes an agent in ${language} that loads`, async (t) => {
      const folder = path.join(createTempDir(t), 'My Agent');
      const files = createProject(folder, language);
      const read = (name: string) => readFileSync(path.join(folder, name), 'utf8');
      assert.equal(parseAgentDefinition(read('agent.yaml'), 'agent.yaml').name, 'My agent');
      const manifest = JSON.parse(read('package.json')) as { name: string; dependencies: object };
      assert.deepEqual([manifest.name, Object.keys(manifest.dependencies)], ['my-agent', ['longhaul']]);
      const module = files.find((name) => /^agent\.[jt]s$/.test(name));
      assert.equal(module === undefined, language === 'yaml');
      if (module === undefined) return;
      const { default: agent } = (await import(pathToFileURL(path.join(folder, module)).href)) as {
        default: { run: unknown };
      };
      assert.equal(typeof agent.run, 'function');
    });
  }

  test('keeps the dependencies of an existing package.json', (t) => {
    const folder = createTempDir(t);
    const dependencies = { longhaul: 'file:../longhaul-0.1.0.tgz' };
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'mine', dependencies }));
    createProject(folder, 'yaml');
    const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as object;
    assert.partialDeepStrictEqual(manifest, { name: 'mine', type: 'module', dependencies });
  });

  test('overwrites no file', (t) => {
    const folder = createTempDir(t);
    writeFileSync(path.join(folder, 'agent.yaml'), 'mine');
    assert.throws(() => createProject(folder, 'yaml'), /already has agent\.yaml: expected a folder without/);
    assert.equal(readFileSync(path.join(folder, 'agent.yaml'), 'utf8'), 'mine');
  });
});
