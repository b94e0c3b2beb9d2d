/** Values of options, and the hint for an agent that does not run. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AgentCard } from '@a2a-js/sdk';
import { checkServiceTier } from '#services/api/extensions/service-tier.ts';
import { readSchedule } from '#services/api/extensions/schedule.ts';
import { addCreateCommand } from '#services/cli/commands/schedules/create.ts';
import {
  createMetadata,
  namingOptions,
  type MetadataOptions,
} from '#services/cli/commands/tasks/metadata.ts';
import { request } from '#services/cli/agent/http.ts';
import { parseJsonObject } from '#services/cli/settings/values.ts';
import { Command, CommanderError } from 'commander';
import { freePort } from '../../support/network/ports.ts';

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

describe('longhaul send', () => {
  for (const [options, reason] of [
    [{ tier: 'fast' }, '--tier must be one of flex, standard'],
    [{ at: '2130-01-31T08:00:00Z' }, '--at must be at most 365 days ahead'],
  ] satisfies [MetadataOptions, string][]) {
    test(`names ${reason.split(' ', 1)[0]} when the agent refuses its value`, async () => {
      const metadata = createMetadata({ card: AgentCard.fromJSON({}), supports: () => true }, options);
      const refused = namingOptions(options, async () => {
        checkServiceTier(metadata, ['flex', 'standard']);
        readSchedule(metadata, Date.now(), undefined);
      });
      await assert.rejects(refused, { name: 'CliError', message: reason, status: 2 });
    });
  }

  test('keeps errors about metadata that no option has set', async () => {
    const error = new Error('metadata["https://longhaul.dev/ext/service-tier/v1"] must be one of flex');
    await assert.rejects(
      namingOptions({}, () => Promise.reject(error)),
      error,
    );
  });
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
