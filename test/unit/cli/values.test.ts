/** Values of options, and the hint for an agent that does not run. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addCreateCommand } from '#services/cli/commands/schedules/create.ts';
import { request } from '#services/cli/agent/http.ts';
import { parseJsonObject } from '#services/cli/settings/values.ts';
import { Command, CommanderError } from 'commander';
import { freePort } from '../../support/ports.ts';

describe('longhaul schedules create', () => {
  for (const [option, value] of [
    ['--every', '5s'],
    ['--every', '400d'],
    ['--every', 'often'],
    ['--catch-up', '1s'],
  ]) {
    test(`names ${option} when it refuses ${value}`, async () => {
      const errors: string[] = [];
      const program = new Command().exitOverride().configureOutput({ writeErr: (text) => errors.push(text) });
      addCreateCommand(program);
      for (const command of program.commands)
        command.exitOverride().configureOutput({ writeErr: (text) => errors.push(text) });
      await assert.rejects(
        program.parseAsync(['node', 'x', 'create', 'a', 'hi', option!, value!]),
        CommanderError,
      );
      assert.match(
        errors.join(''),
        new RegExp(`option '${option} .*argument '${value}' is invalid\\. Expected .*from 10s`),
      );
    });
  }
});

describe('a request to an agent that does not run', () => {
  test('says how to start one on this machine', async () => {
    await assert.rejects(
      request(`http://127.0.0.1:${await freePort()}/`),
      /ECONNREFUSED\. Nothing listens there: .*longhaul dev/,
    );
  });
});

describe('longhaul send --metadata', () => {
  test('takes an object of JSON and nothing else', () => {
    assert.deepEqual(parseJsonObject('{"a": 1}'), { a: 1 });
    for (const value of ['a=1', '[1]', 'null', '1']) {
      assert.throws(() => parseJsonObject(value), /Expected a JSON object, such as/);
    }
  });
});
