/** The files for coding agents that `longhaul init` writes: the code in them runs, and what they name exists. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { assertReplays, createTask } from 'longhaul/testing';
import { createGuides } from '#services/cli/init/guides.ts';
import { createProject } from '#services/cli/init/project.ts';
import { createProgram } from '#services/cli/program.ts';
import agent from '../../../docs/agents/refunds.ts';
import { calls } from '../../../docs/agents/refunds-services.ts';
import { createTempDir } from '../../support/temp-dir.ts';

const root = path.join(import.meta.dirname, '../../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const guides = createGuides({ language: 'typescript', name: 'Refunds' });
const rules = guides['AGENTS.md'] ?? '';
const skill = guides['.claude/skills/longhaul/SKILL.md'] ?? '';
const blocks = [...rules.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = '']) => code);
const options = { message: 'Refund order 7', answers: { approval: { approved: true } } };

describe('AGENTS.md', () => {
  test('has the rules on one page, under one title', () => {
    assert.ok(rules.split('\n').length < 120);
    assert.deepEqual(rules.match(/^#{1,2} .*$/gm), [
      '# Refunds',
      ...['Rules', 'Steps', 'Determinism', 'Waits', 'Versions', 'Tests'].map((title) => `## ${title}`),
    ]);
  });

  test('shows the agent of docs/agents, whose types are checked', () => {
    assert.equal(blocks[0], `// agent.ts\n${read('docs/agents/refunds.ts')}`);
  });

  test('tests the agent with the code that it shows', async () => {
    const names = { createTask, assertReplays, assert, agent };
    const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
    await (AsyncFunction(...Object.keys(names), blocks[1] ?? '')(...Object.values(names)) as Promise<void>);
  });

  test('refunds once if the worker dies after any step', async () => {
    const { ran } = await createTask(agent, options).run();
    assert.ok(ran.some((step) => step.startsWith('version:cool down')));
    for (const crashAfter of ran) {
      calls.length = 0;
      const task = createTask(agent, options);
      assert.equal((await task.run({ crashAfter })).end, 'crashed');
      await task.run();
      assert.deepEqual([task.state, task.getText('receipt')], ['TASK_STATE_COMPLETED', 'Refunded 40.']);
      assert.equal(calls.length, 2);
    }
  });

  test('names methods of a turn that exist', () => {
    const source = read('services/worker/agent/agent.ts');
    const named = new Set([...rules.matchAll(/\bturn\.(\w+)/g)].map(([, name = '']) => name));
    assert.ok(named.size > 8);
    for (const name of named) assert.match(source, new RegExp(`^  (?:readonly )?${name}[(<:]`, 'm'));
  });

  test('links to pages of the package', () => {
    const targets = [...rules.matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => target);
    assert.ok(targets.length > 4);
    for (const target of targets) {
      assert.match(target, /^node_modules\/longhaul\//);
      assert.ok(read(target.replace('node_modules/longhaul/', '')));
    }
  });

  test('has no rules of code for a gateway', () => {
    const page = createGuides({ language: 'gateway', name: 'G' })['AGENTS.md'] ?? '';
    assert.doesNotMatch(page, /## Rules|npm test/);
  });
});

test('all commands that the guides name exist', () => {
  const commands = new Map(createProgram().commands.map((command) => [command.name(), command]));
  const named = [...`${rules}${skill}`.matchAll(/`(?:npx )?longhaul ([a-z]+)(?: ([^`]*))?`/g)];
  assert.ok(named.length > 10);
  for (const [all, name = '', args = ''] of named) {
    const command = commands.get(name);
    assert.ok(command !== undefined, all);
    const [sub = ''] = args.split(' ');
    const part = command.commands.find((each) => each.name() === sub);
    if (command.commands.length > 0) assert.ok(part !== undefined, all);
    for (const [flag] of args.matchAll(/--[a-z-]+/g))
      assert.ok(
        (part ?? command).options.some(({ long }) => long === flag),
        all,
      );
  }
});

test('longhaul init writes them where Claude Code, Codex and Gemini CLI look', (t) => {
  const folder = createTempDir(t);
  createProject(folder, { language: 'typescript', name: 'Refunds' });
  const written = (file: string): string => readFileSync(path.join(folder, file), 'utf8');
  assert.equal(written('AGENTS.md'), rules);
  assert.equal(written('CLAUDE.md'), '@AGENTS.md\n');
  for (const home of ['.agents', '.claude'])
    assert.equal(written(`${home}/skills/longhaul/SKILL.md`), read('skills/longhaul/SKILL.md'));
});
