/** Agents in code that describe themselves, and the versions that they declare. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { DefinitionError } from '#shared/agent/definition.ts';
import { loadDefinition } from '#shared/agent/load-definition.ts';
import { loadAgent } from '#services/worker/agent/load.ts';
import { getVersions } from '#services/worker/agent/version.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { writeTempFile } from '../../support/temp-dir.ts';

const run = async () => ({ state: 'TASK_STATE_COMPLETED' }) as const;

function writeModule(t: TestContext, agent: object): string {
  return writeTempFile(t, 'agent.mjs', `export default { run() {}, ...${JSON.stringify(agent)} };`);
}

describe('an agent in code without YAML', () => {
  const definition = { name: 'Refunds', description: 'Refunds orders.' };
  const load = (t: TestContext, agent: object) =>
    loadDefinition({ agentFile: undefined, agentModule: writeModule(t, agent) });

  test('has a card of its own', async (t) => {
    const { name, description, version, skills } = await load(t, { version: '7', definition });
    assert.deepEqual([name, description, version], ['Refunds', 'Refunds orders.', '7']);
    assert.deepEqual(skills, [{ id: 'default', ...definition, tags: [] }]);
  });

  test('sets skills, limits and the version of its card', async (t) => {
    const skills = [{ id: 'refund', name: 'Refund', description: 'Refunds.', tags: ['money'] }];
    const more = { skills, version: '1.2.0', limits: { turnSeconds: 60 } };
    const loaded = await load(t, { version: '7', definition: { ...definition, ...more } });
    assert.deepEqual([loaded.version, loaded.skills, loaded.limits.turnSeconds], ['1.2.0', skills, 60]);
  });

  for (const [value, problem] of [
    [1, /must be an object with name and description/],
    [{ name: 'Refunds' }, /description: is required/],
    [{ ...definition, model: {} }, /model: unknown field/],
    [{ ...definition, skils: [] }, /skils: unknown field \(did you mean "skills"\?\)/],
    [{ ...definition, limits: { stepSeconds: 0 } }, /limits\.stepSeconds: must be >= 1/],
  ] as const) {
    test(`reports the problem of ${JSON.stringify(value)}`, async (t) => {
      await assert.rejects(load(t, { definition: value }), (error) => {
        assert.ok(error instanceof DefinitionError);
        assert.match(error.message, /^the definition of AGENT_MODULE \S+agent\.mjs: /);
        assert.match(error.message, problem);
        return true;
      });
    });
  }

  test('is refused if a YAML describes it too', async (t) => {
    const agentModule = writeModule(t, { definition });
    const agentFile = writeAgentFile(t, {});
    const loading = loadAgent({ agentFile, agentModule, gemini: {}, getSecret: () => undefined });
    await assert.rejects(loading, /has a definition, and so does AGENT_FILE .*: expected one of them/);
  });
});

describe('the versions of an agent', () => {
  test('are its own and those that it is compatible with', () => {
    assert.deepEqual(getVersions({ run }), { own: undefined, runs: [] });
    assert.deepEqual(getVersions({ run, version: '2' }), { own: '2', runs: ['2'] });
    const versions = getVersions({ run, version: '2', compatibleWith: ['1', '2'] });
    assert.deepEqual(versions, { own: '2', runs: ['2', '1'] });
  });

  test('are refused if they are not texts', () => {
    const get = (agent: object) => () => getVersions({ run, ...agent });
    assert.throws(get({ compatibleWith: ['1'] }), /compatibleWith needs a version, such as "2"/);
    for (const version of [2, '', ' 2', 'x'.repeat(101)]) {
      assert.throws(get({ version }), /version must be a text of 1 to 100 characters/);
    }
    for (const compatibleWith of ['1', [1], ['']]) {
      assert.throws(get({ version: '2', compatibleWith }), /compatibleWith must be a list of versions/);
    }
  });
});
