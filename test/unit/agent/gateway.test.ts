/** Definitions whose whole behavior is another agent. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { definitionHash, readAgentDefinition } from '#shared/agent/definition.ts';
import { readRemoteAgents } from '#shared/agent/gateway.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { findForeignPowers, getPowers } from '#shared/agent/powers.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { findProblems } from '../../support/agents/definition.ts';

const gateway = (a2a: object, more: object = {}): string =>
  JSON.stringify({ name: 'Front', description: 'In front.', version: '1', a2a, ...more });

describe('a definition with a2a', () => {
  test('needs a name, a description, a version and an address', () => {
    const definition = parseAgentDefinition(gateway({ url: 'https://agent.example' }), 'x');
    assert.deepEqual([definition.skills, definition.inputModes, definition.a2a?.resends], [[], [], 2]);
    assert.equal(definition.a2a?.timeoutSeconds, 86_400);
    assert.match(findProblems(gateway({}))[0]!, /a2a: must have url/);
  });

  test('is read from the database as it was stored', () => {
    const definition = parseAgentDefinition(gateway({ url: 'https://agent.example', skills: ['a'] }), 'x');
    const read = readAgentDefinition(JSON.parse(JSON.stringify(definition)) as JsonObject);
    assert.equal(definitionHash(read), definitionHash(definition));
    const { upstream } = readRemoteAgents(definition as unknown as JsonObject);
    assert.equal(upstream?.url, 'https://agent.example');
  });

  test('is refused with what has no effect next to it', () => {
    const problems = findProblems(
      gateway(
        { url: 'https://agent.example', auth: 'x', googleIdentity: true, skils: [] },
        { instruction: 'Be brief.', tools: [], limits: { tokens: 5 } },
      ),
    );
    assert.match(problems.join('\n'), /a2a.skils: unknown field \(did you mean "skills"\?\)/);
    const others = findProblems(
      gateway(
        { url: 'https://agent.example', auth: 'x', googleIdentity: true },
        { instruction: 'Be brief.', tools: [], limits: { tokens: 5, outageSeconds: 5 } },
      ),
    ).join('\n');
    assert.match(others, /a2a.googleIdentity: excludes auth/);
    for (const field of ['instruction', 'tools', 'limits.tokens']) {
      assert.match(others, new RegExp(`${field}: has no effect next to a2a`));
    }
    assert.doesNotMatch(others, /outageSeconds/);
  });

  test('gets secrets and identity tokens only as the files of the worker say', () => {
    const parse = (a2a: object) => parseAgentDefinition(gateway(a2a), 'x');
    const url = 'https://agent.example';
    const [secret, identity] = [parse({ url, auth: '${env:KEY}' }), parse({ url, googleIdentity: true })];
    const allowed = getPowers([secret]);
    assert.deepEqual(findForeignPowers(secret, allowed), []);
    assert.deepEqual(findForeignPowers(parse({ url: `${url}.evil`, auth: '${env:KEY}' }), allowed), [
      '${env:KEY} for the agent upstream',
    ]);
    assert.deepEqual(findForeignPowers(identity, allowed), [
      'an identity token of Google for the agent upstream',
    ]);
  });
});
