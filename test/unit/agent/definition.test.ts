import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { DefinitionError, definitionHash, readAgentDefinition } from '#shared/agent/definition.ts';
import { getModelApi, runsInBackground } from '#shared/agent/model-api.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { findProblems } from '../../support/agents/definition.ts';

const minimal = `
name: Small
description: Does little.
version: "1"
skills:
  - { id: a, name: A, description: Does a., tags: [x] }
instruction: Be brief.
`;

describe('a definition in YAML', () => {
  test('is valid in the agent.yaml of this project', () => {
    const file = new URL('../../../agent.yaml', import.meta.url);
    const definition = parseAgentDefinition(readFileSync(file, 'utf8'), 'agent.yaml');
    assert.equal(definition.name, 'Longhaul agent');
    assert.ok(definition.skills.length >= 3);
  });

  test('gets defaults for omitted fields', () => {
    const definition = parseAgentDefinition(minimal, 'agent.yaml');
    assert.deepEqual(definition.inputModes, ['text/plain']);
    assert.deepEqual(definition.outputModes, ['text/plain']);
    assert.deepEqual(definition.model, { name: 'gemini-3.8-flash' });
    assert.deepEqual(definition.tools, ['ask_user']);
    const limits = {
      modelCalls: 20,
      toolCalls: 100,
      workSeconds: 3600,
      backgroundSeconds: 86_400,
      batchSeconds: 259_200,
      outageSeconds: 3600,
      hops: 8,
    };
    assert.deepEqual(definition.limits, limits);
    assert.deepEqual(parseAgentDefinition(`${minimal}limits: {modelCalls: 3}`, 'x').limits, {
      ...limits,
      modelCalls: 3,
    });
  });

  test('reports all problems together, by line, column and field', () => {
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
    assert.deepEqual(findProblems(text), [
      'agent.yaml:1:1: instruction: is required',
      'agent.yaml:1:7: name: must not be empty',
      'agent.yaml:3:10: version: must be a string (put it in quotes)',
      'agent.yaml:4:1: skils: unknown field (did you mean "skills"?)',
      'agent.yaml:6:9: skills[0].id: must contain only letters, digits, ".", "_" or "-"',
      'agent.yaml:9:11: skills[0].tags: must be an array',
      'agent.yaml:10:5: skills[0].example: unknown field (did you mean "examples"?)',
      'agent.yaml:12:3: model.temprature: unknown field (did you mean "temperature"?)',
      'agent.yaml:13:9: model.topP: must be <= 1',
      'agent.yaml:14:18: model.thinkingLevel: must be one of minimal, low, medium, high',
      'agent.yaml:15:19: documentationUrl: must be an http or https URL',
      'agent.yaml:16:15: outputModes[0]: must be a media type, such as text/plain',
      'agent.yaml:17:23: limits.modelCalls: must be >= 1',
      'agent.yaml:17:26: limits.pace: unknown field (expected one of modelCalls, toolCalls, workSeconds, backgroundSeconds, batchSeconds, tokens, cost, ownerTokensPerDay, ownerCostPerDay, stepSeconds, turnSeconds, outageSeconds, taskSeconds, hops)',
    ]);
  });

  test('reports skills with the same id', () => {
    const skill = '  - { id: a, name: B, description: Does b., tags: [] }';
    assert.deepEqual(findProblems(minimal.replace('skills:', `skills:\n${skill}`)), [
      'agent.yaml:7:11: skills[1].id: "a" is already used by an earlier skill (ids must be unique)',
    ]);
  });

  test('reports a limit of cost for a model without a price', () => {
    assert.deepEqual(findProblems(`${minimal}limits: { cost: 1 }`), [
      'agent.yaml:8:11: limits.cost: the model "gemini-3.8-flash" has no price (add it to prices)',
    ]);
  });

  test('reports settings that exclude each other', () => {
    assert.deepEqual(findProblems(`${minimal}model: { thinkingBudget: 0, thinkingLevel: low }`), [
      'agent.yaml:8:10: model: thinkingLevel and thinkingBudget exclude each other (set thinkingLevel for Gemini 3 and later, else thinkingBudget)',
    ]);
  });

  test('refuses an array in place of an object', () => {
    assert.deepEqual(findProblems(`${minimal}limits: []`), ['agent.yaml:8:9: limits: must be an object']);
    assert.deepEqual(findProblems(`${minimal}prices: [1]`), ['agent.yaml:8:9: prices: must be an object']);
  });

  test('refuses an empty list of skills', () => {
    const empty = minimal.replace(/skills:\n.*\n/, 'skills: []\n');
    assert.deepEqual(findProblems(empty), ['agent.yaml:5:9: skills: must have at least one item']);
  });

  test('reports the position of a syntax error', () => {
    assert.match(findProblems('name: [a\nversion: 1')[0] ?? '', /^agent\.yaml:2:\d+: /);
    assert.match(findProblems('name: a\nname: b')[0] ?? '', /^agent\.yaml:2:1: .*unique/);
  });

  test('refuses text that is not an object', () => {
    assert.deepEqual(findProblems('just words'), ['agent.yaml:1:1: the definition: must be an object']);
    assert.deepEqual(findProblems(''), ['agent.yaml:1:1: the definition: must be an object']);
  });
});

describe('the hash of a definition', () => {
  const hash = (text: string) => definitionHash(parseAgentDefinition(text, 'x'));

  test('ignores the order of fields, comments and explicit defaults', () => {
    assert.match(hash(minimal), /^[0-9a-f]{64}$/);
    const reversed = minimal.trim().split('\n').slice(0, 3).reverse().join('\n');
    const rest = minimal.trim().split('\n').slice(3).join('\n');
    assert.equal(hash(`# a comment\n${reversed}\n${rest}\ntools: [ask_user]`), hash(minimal));
  });

  test('changes with every value', () => {
    assert.notEqual(hash(minimal.replace('brief', 'long')), hash(minimal));
    assert.notEqual(hash(`${minimal}tools: []`), hash(minimal));
  });
});

describe('a stored definition', () => {
  const definition = parseAgentDefinition(minimal, 'x');
  const stored = JSON.parse(JSON.stringify(definition)) as JsonObject;

  test('is read back unchanged', () => {
    assert.deepEqual(readAgentDefinition(stored), definition);
  });

  test('gets defaults for fields that were added later', () => {
    const { limits: _, ...older } = stored;
    assert.deepEqual(readAgentDefinition(older), definition);
  });

  test('is refused if it is not valid', () => {
    assert.throws(() => readAgentDefinition({ ...stored, instruction: 3 }), DefinitionError);
  });
});

describe('the API of a model', () => {
  const find = (model: string, more = '') => findProblems(`${minimal}model: { ${model} }\n${more}`);

  test('is refused if the model does not have it', () => {
    assert.deepEqual(find('name: deep-research-preview-04-2026, api: generateContent'), [
      'agent.yaml:8:47: model.api: "deep-research-preview-04-2026" is offered through interactions alone (omit api)',
    ]);
    assert.deepEqual(find('background: always'), [
      'agent.yaml:8:10: model.background: needs the Interactions API (add api: interactions)',
    ]);
    assert.deepEqual(find('api: interactions, topK: 3, thinkingBudget: 5'), [
      'agent.yaml:8:29: model.topK: the Interactions API does not have it (remove it, or set api: generateContent)',
      'agent.yaml:8:38: model.thinkingBudget: the Interactions API does not have it (remove it, or set api: generateContent)',
    ]);
  });

  test('is refused if batches do not have it', () => {
    assert.deepEqual(find('api: interactions, serviceTier: batch, taskServiceTiers: [flex, batch]'), [
      'agent.yaml:8:29: model.serviceTier: the Batch API takes generateContent alone (remove batch, or set api: generateContent)',
      'agent.yaml:8:49: model.taskServiceTiers: the Batch API takes generateContent alone (remove batch, or set api: generateContent)',
    ]);
    assert.deepEqual(find('batch: { collectSeconds: 5 }'), [
      'agent.yaml:8:10: model.batch: no task uses it (add the tier batch to serviceTier or taskServiceTiers)',
    ]);
    assert.deepEqual(find('serviceTier: batch, batch: { collectSeconds: 5 }'), []);
  });

  test('is refused if an MCP server that Google calls needs another', () => {
    const servers = (more: string) => `mcpServers: { a: { url: "https://x", calledBy: google${more} } }`;
    assert.deepEqual(find('api: interactions', servers(', allow: [find]')), []);
    const messages = (model: string, more: string) =>
      find(model, more).map((problem) => problem.replace(/^.*?: /, ''));
    assert.deepEqual(messages('name: gemini-3.8-flash', servers('')), [
      'mcpServers.a.calledBy: google needs the Interactions API (add api: interactions)',
    ]);
    assert.deepEqual(messages('api: interactions', servers(', allow: ["f*"], confirm: [find]')), [
      'mcpServers.a.allow: Google accepts names of tools without * (list them)',
      'mcpServers.a.confirm: is for servers that the worker calls (remove it, or calledBy)',
    ]);
    assert.deepEqual(
      messages('api: interactions', 'mcpServers: { a: { url: "http://x", calledBy: google } }'),
      ['mcpServers.a.calledBy: Google calls a url with https alone'],
    );
  });

  test("is refused if Google's agent does not have a setting", () => {
    const problems = find(
      'name: antigravity-preview-09-2026, background: never, temperature: 1',
      'mcpServers: { a: { url: "https://x" } }\nresponseSchema: { type: object }',
    );
    assert.deepEqual(
      problems.map((problem) => problem.replace(/^agent.yaml:\d+:\d+: /, '').replace(/:.*/, '')),
      ['model.background', 'model.temperature', 'mcpServers', 'responseSchema'],
    );
  });

  test('is refused if a setting belongs to another kind of agent', () => {
    const messages = (model: string) => find(model).map((problem) => problem.replace(/^.*?: /, ''));
    assert.deepEqual(messages('agentConfig: { visualization: auto, model: m }, environment: { id: e }'), [
      'model.agentConfig.visualization: is for Deep Research, not for "gemini-3.8-flash" (remove it)',
      'model.agentConfig.model: is for managed agents, not for "gemini-3.8-flash" (remove it)',
      'model.environment: is for managed agents, not for "gemini-3.8-flash" (remove it)',
    ]);
    assert.deepEqual(
      messages(
        'name: deep-research-preview-04-2026, agentConfig: { thinkingSummaries: auto, maxTotalTokens: 5 }',
      ),
      [
        'model.agentConfig.thinkingSummaries: summaries are shown while they come (add stream: true)',
        'model.agentConfig.maxTotalTokens: is for managed agents, not for "deep-research-preview-04-2026" (remove it)',
      ],
    );
    assert.deepEqual(messages('api: interactions, stream: true'), [
      'model.stream: is for calls in the background; others are streamed anyway (remove it)',
    ]);
    assert.deepEqual(
      messages('name: deep-research-preview-04-2026, agentConfig: { visualization: on, colour: red }'),
      [
        'model.agentConfig.visualization: must be one of auto, off',
        'model.agentConfig.colour: unknown field (expected one of collaborativePlanning, thinkingSummaries, visualization, model, maxTotalTokens)',
      ],
    );
  });

  test('is chosen by the name, and by hand', () => {
    const choose = (model: Parameters<typeof getModelApi>[0]) => [
      getModelApi(model),
      runsInBackground(model),
    ];
    assert.deepEqual(choose({ name: 'gemini-3.8-flash' }), ['generateContent', false]);
    assert.deepEqual(choose({ name: 'gemini-3.8-flash', api: 'interactions' }), ['interactions', false]);
    assert.deepEqual(choose({ name: 'gemini-omni-1.2-flash' }), ['interactions', true]);
    assert.deepEqual(choose({ name: 'deep-research-max-preview-04-2026' }), ['interactions', true]);
  });
});
