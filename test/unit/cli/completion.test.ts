/** Completion scripts, run by the shells that this machine has. */
// cspell:ignore CWORD COMPREPLY redel webh
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { createCompletionScript, shells } from '#services/cli/completion/scripts.ts';
import { listCommandWords } from '#services/cli/completion/words.ts';
import { createProgram } from '#services/cli/program.ts';

const commands = listCommandWords(createProgram());
const bash = createCompletionScript('bash', commands);

/** Completes the last of some words with the script for bash. */
function complete(...words: string[]): string[] {
  const list = ['longhaul', ...words].map((word) => `'${word}'`).join(' ');
  const script = `${bash}\nCOMP_WORDS=(${list})\nCOMP_CWORD=${words.length}\n_longhaul\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, status } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.trim().split('\n');
}

describe('completion', () => {
  test('bash completes commands, subcommands, options and values', () => {
    assert.deepEqual(complete('wat'), ['watch']);
    assert.deepEqual(complete('webhooks', 'redel'), ['redeliver']);
    assert.deepEqual(complete('webhooks', 'list', '--hea'), ['--health']);
    assert.deepEqual(complete('webhooks', 'list', '--health', ''), ['ok', 'failing', 'disabled']);
    assert.ok(complete('send', '--').includes('--stream'));
    assert.ok(!complete('send', '--').includes('--health'));
    assert.deepEqual(complete('send', 'webhooks', '--webh'), ['--webhook']);
  });

  for (const shell of shells) {
    const isMissing = spawnSync(shell, ['-c', 'true']).status !== 0;
    test(`${shell} accepts its script`, { skip: isMissing && `${shell} is not installed` }, () => {
      const script = createCompletionScript(shell, commands);
      const { stderr, status } = spawnSync(shell, ['-n', '-c', script], { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
    });
  }

  test('every script has all commands', () => {
    for (const shell of shells) {
      const script = createCompletionScript(shell, commands);
      for (const { path } of commands)
        for (const name of path.split(' ')) assert.ok(script.includes(name), name);
    }
  });
});
