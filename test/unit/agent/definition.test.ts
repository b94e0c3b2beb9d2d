import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { DefinitionError, definitionHash, readAgentDefinition } from '#shared/agent/definition.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';

const least = `
name: Small
description: Does little.
version: "1"
skills:
  - { id: a, name: A, description: Does a., tags: [x] }
instruction: Be brief.
`;

function problemsIn(text: string): readonly string[] {
  try {
    parseAgentDefinition(text, 'agent.yaml');
  } catch (error) {
    assert.ok(error instanceof DefinitionError, String(error));
    return error.problems;
  }
  return [];
}

test('the definition that comes with the project is valid', () => {
  const file = new URL('../../../agent.yaml', import.meta.url);
  const definition = parseAgentDefinition(readFileSync(file, 'utf8'), 'agent.yaml');
  assert.equal(definition.name, 'Longhaul agent');
  assert.ok(definition.skills.length >= 3);
});

test('what is left out takes its default', () => {
  const definition = parseAgentDefinition(least, 'agent.yaml');
  assert.deepEqual(definition.inputModes, ['text/plain']);
  assert.deepEqual(definition.outputModes, ['text/plain']);
  assert.deepEqual(definition.model, { name: 'gemini-3.8-flash' });
  assert.deepEqual(definition.tools, ['ask_user']);
  assert.deepEqual(definition.limits, { modelCalls: 20, toolCalls: 100, workSeconds: 3600 });
  assert.deepEqual(parseAgentDefinition(`${least}limits: {modelCalls: 3}`, 'x').limits, {
    modelCalls: 3,
    toolCalls: 100,
    workSeconds: 3600,
  });
});

test('every problem is told at once, each with its line, column and field', () => {
  const text = `name: ""
description: d
version: 1.0
skils: []
skills:
  - id: "a b"
    name: A
    description: Does a.
    tags: x
    example: [y]
model:
  temprature: 1
  topP: 2
  thinkingLevel: extreme
documentationUrl: ftp://x
outputModes: [text]
limits: { modelCalls: 0, pace: 3 }
`;
  assert.deepEqual(problemsIn(text), [
    'agent.yaml:1:1: instruction: missing',
    'agent.yaml:1:7: name: must not be empty',
    'agent.yaml:3:10: version: must be a string (put it in quotes)',
    'agent.yaml:4:1: skils: unknown field; did you mean "skills"?',
    'agent.yaml:6:9: skills[0].id: may have only letters, digits, ".", "_" and "-"',
    'agent.yaml:9:11: skills[0].tags: must be an array',
    'agent.yaml:10:5: skills[0].example: unknown field; did you mean "examples"?',
    'agent.yaml:12:3: model.temprature: unknown field; did you mean "temperature"?',
    'agent.yaml:13:9: model.topP: must be <= 1',
    'agent.yaml:14:18: model.thinkingLevel: must be one of minimal, low, medium, high',
    'agent.yaml:15:19: documentationUrl: must be a URL with http or https',
    'agent.yaml:16:15: outputModes[0]: must be a media type, such as text/plain',
    'agent.yaml:17:23: limits.modelCalls: must be >= 1',
    'agent.yaml:17:26: limits.pace: unknown field; known fields: modelCalls, toolCalls, workSeconds, tokens, cost, ownerTokensPerDay, ownerCostPerDay, stepSeconds, turnSeconds, taskSeconds',
  ]);
});

test('contradictions are problems', () => {
  const twice = least.replace('skills:', 'skills:\n  - { id: a, name: B, description: Does b., tags: [] }');
  assert.deepEqual(problemsIn(twice), ['agent.yaml:7:11: skills[1].id: "a" is taken by a skill before it']);
  assert.deepEqual(problemsIn(`${least}limits: { cost: 1 }`), [
    'agent.yaml:8:11: limits.cost: prices has no entry for the model "gemini-3.8-flash"',
  ]);
  assert.deepEqual(problemsIn(`${least}model: { thinkingBudget: 0, thinkingLevel: low }`), [
    'agent.yaml:8:10: model: set thinkingLevel (Gemini 3 and later) or thinkingBudget (before), not both',
  ]);
});

test('a list is not taken for fields by name', () => {
  assert.deepEqual(problemsIn(`${least}limits: []`), ['agent.yaml:8:9: limits: must be an object']);
  assert.deepEqual(problemsIn(`${least}prices: [1]`), ['agent.yaml:8:9: prices: must be an object']);
});

test('text that is no YAML, or no object, is told with its place', () => {
  assert.match(problemsIn('name: [a\nversion: 1')[0] ?? '', /^agent\.yaml:2:\d+: /);
  assert.match(problemsIn('name: a\nname: b')[0] ?? '', /^agent\.yaml:2:1: .*unique/);
  assert.deepEqual(problemsIn('just words'), ['agent.yaml:1:1: the definition: must be an object']);
  assert.deepEqual(problemsIn(''), ['agent.yaml:1:1: the definition: must be an object']);
});

test('the hash is of the meaning: order, comments and written-out defaults do not change it', () => {
  const hash = (text: string) => definitionHash(parseAgentDefinition(text, 'x'));
  assert.match(hash(least), /^[0-9a-f]{64}$/);
  const turned = least.trim().split('\n').slice(0, 3).reverse().join('\n');
  const rest = least.trim().split('\n').slice(3).join('\n');
  assert.equal(hash(`# a comment\n${turned}\n${rest}\ntools: [ask_user]`), hash(least));
  assert.notEqual(hash(least.replace('brief', 'long')), hash(least));
  assert.notEqual(hash(`${least}tools: []`), hash(least));
});

test('a stored definition is read again; fields that came later take their defaults', () => {
  const definition = parseAgentDefinition(least, 'x');
  const stored = JSON.parse(JSON.stringify(definition)) as JsonObject;
  assert.deepEqual(readAgentDefinition(stored), definition);
  const { limits: _, ...older } = stored;
  assert.deepEqual(readAgentDefinition(older), definition);
  assert.throws(() => readAgentDefinition({ ...stored, instruction: 3 }), DefinitionError);
});
