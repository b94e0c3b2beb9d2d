/** Google's agents: their configuration, and Deep Research's plan, which the user confirms or changes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMcpTools } from '#services/worker/agent/mcp/tools.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { serviceTierExtension } from '#shared/domain/service-tier.ts';
import { Crash, MemoryTurn } from '../../../support/agents/memory-turn.ts';
import { definitionWithoutTools, getOutcomeMessage, useOfflineModel } from '../use-offline-model.ts';

const offline = useOfflineModel();
const withAgent = (model: JsonObject): JsonObject => ({
  ...definitionWithoutTools,
  model: { name: 'deep-research-preview-04-2026', ...model },
});
const completed = { state: 'TASK_STATE_COMPLETED' };
const list = () => offline.model.interactions.list();
const run = (turn: MemoryTurn) => offline.createAgent().run(turn);

/** Runs a turn that must ask the user, and returns the parts of its message. */
async function runToPlan(turn: MemoryTurn): Promise<string[]> {
  const outcome = await run(turn);
  assert.ok('state' in outcome && outcome.state === 'TASK_STATE_INPUT_REQUIRED', JSON.stringify(outcome));
  return (outcome.message as { text: string }[]).map(({ text }) => text);
}

describe('planning together with Deep Research', () => {
  const definition = withAgent({ agentConfig: { collaborativePlanning: true } });

  test('asks for confirmation of the plan, takes a change, and then writes the report', async () => {
    const first = new MemoryTurn({ message: 'tea', definition });
    const [plan, how] = await runToPlan(first);
    assert.match(plan!, /Research plan .*“tea”/);
    assert.match(how!, /Reply "yes"/);
    assert.deepEqual(first.artifacts, []);

    const second = first.next('only green tea');
    assert.match((await runToPlan(second))[0]!, /“only green tea”/);

    const third = second.next('Yes.');
    offline.model.script([{ match: 'Yes.', reactions: [{ chunks: ['The report.'] }] }]);
    assert.deepEqual(await run(third), completed);
    assert.equal(third.getArtifactText('answer-3'), 'The report.');
    const requests = list().map(({ request }) => request);
    assert.deepEqual(
      requests.map(({ agent_config }) => agent_config?.collaborative_planning),
      [true, true, false],
    );
    assert.deepEqual(
      requests.map(({ previous_interaction_id }) => previous_interaction_id),
      [undefined, list()[0]!.id, list()[1]!.id],
    );
  });

  test('proposes one plan although the worker dies behind its record', async () => {
    const first = new MemoryTurn({ message: 'tea', definition, crashAfter: 'model#1' });
    await assert.rejects(run(first), Crash);
    await runToPlan(new MemoryTurn({ message: 'tea', definition, steps: first.steps }));
    assert.equal(list().length, 1);
  });

  test('writes the report although Google no longer has the plan', async () => {
    const first = new MemoryTurn({ message: 'tea', definition });
    await runToPlan(first);
    offline.model.interactions.expire(list()[0]!.id);
    assert.deepEqual(await run(first.next('ok')), completed);
    const { input, agent_config } = list()[0]!.request;
    assert.deepEqual(
      (input as { type: string }[]).map(({ type }) => type),
      ['user_input', 'model_output', 'user_input'],
    );
    assert.equal(agent_config?.collaborative_planning, false);
  });
});

describe('the configuration of an agent', () => {
  test('shows summaries of thoughts as progress, and images in the report', async () => {
    const agentConfig = { thinkingSummaries: 'auto', visualization: 'auto' };
    const definition = withAgent({ stream: true, agentConfig });
    const turn = new MemoryTurn({ message: 'tea', definition });
    assert.deepEqual(await run(turn), completed);
    assert.deepEqual(turn.progressMessages, ['Looking for sources.']);
    const { parts } = turn.artifacts[0]!;
    assert.deepEqual(
      parts.map(({ mediaType }) => mediaType),
      [undefined, 'image/png'],
    );
    const { agent_config } = list()[0]!.request;
    assert.deepEqual(agent_config, {
      type: 'deep-research',
      thinking_summaries: 'auto',
      visualization: 'auto',
    });
  });

  test('gives a managed agent its environment, model and limit of tokens', async () => {
    const definition = withAgent({
      name: 'antigravity-preview-09-2026',
      agentConfig: { model: 'gemini-3.8-flash', maxTotalTokens: 5000 },
      environment: {
        allowDomains: ['*.example.com'],
        sources: [{ type: 'inline', target: '/a', content: 'x' }],
      },
    });
    assert.deepEqual(await run(new MemoryTurn({ message: 'build', definition })), completed);
    const { agent_config, environment } = list()[0]!.request;
    assert.deepEqual(agent_config, {
      type: 'antigravity',
      model: 'gemini-3.8-flash',
      max_total_tokens: '5000',
    });
    assert.deepEqual(environment, {
      type: 'remote',
      network: { allowlist: [{ domain: '*.example.com' }] },
      sources: [{ type: 'inline', target: '/a', content: 'x' }],
    });
  });

  const sources = [{ type: 'inline', target: '/a', content: 'x' }];
  for (const [name, settings, first, next] of [
    ['its environment', {}, 'remote', (id: string) => id],
    [
      'an environment with sources',
      { environment: { sources } },
      { type: 'remote', sources },
      (id: string) => ({ type: 'remote', environment_id: id }),
    ],
  ] as const) {
    test(`keeps ${name} for a task, until it is gone`, async () => {
      const definition = withAgent({ name: 'antigravity-preview-09-2026', ...settings });
      const turn = new MemoryTurn({ message: 'build', definition });
      assert.deepEqual(await run(turn), completed);
      const second = turn.next('change');
      assert.deepEqual(await run(second), completed);
      const id = list()[0]!.environmentId!;
      offline.model.interactions.expiredEnvironments.add(id);
      const { history } = second.next('again');
      // Another task has answered, so that only the environment is continued.
      const aside = { taskId: 'other', turn: 1, role: 'agent', parts: [{ text: 'aside' }] } as const;
      assert.deepEqual(await run(second.next('again', { history: [aside, ...history] })), completed);
      assert.deepEqual(
        list().map(({ request }) => request.environment),
        [first, next(id), first],
      );
      assert.notEqual(list()[2]!.environmentId, id);
    });
  }

  test('takes a managed agent off the network', async () => {
    const definition = withAgent({ name: 'antigravity-preview-09-2026', environment: { allowDomains: [] } });
    assert.deepEqual(await run(new MemoryTurn({ message: 'build', definition })), completed);
    assert.deepEqual(list()[0]!.request.environment, { type: 'remote', network: 'disabled' });
  });
});

describe('the settings of a call', () => {
  const withModel = (model: JsonObject, more: JsonObject = {}): JsonObject => ({
    ...withAgent({ name: 'gemini-3.8-flash', api: 'interactions', ...model }),
    ...more,
  });
  const prices = { 'gemini-3.8-flash': { input: 1_000_000, output: 0, tiers: { flex: 0.5 } } };
  const getCost = ({ steps }: MemoryTurn): number => {
    const { result, options } = steps.get('model#1')!;
    const { tokens, cost } = options.usage!(JSON.parse(result) as Json)!;
    return cost! / tokens.prompt;
  };

  for (const api of ['interactions', 'generateContent']) {
    test(`have the service tier of the definition with ${api}, and its price`, async () => {
      const turn = new MemoryTurn({
        message: 'hi',
        definition: withModel({ api, serviceTier: 'flex' }, { prices }),
      });
      assert.deepEqual(await run(turn), completed);
      assert.equal(getCost(turn), 0.5);
      if (api === 'interactions') assert.equal(list()[0]!.request.service_tier, 'flex');
    });
  }

  test('have the service tier of the task, if the definition offers it', async () => {
    const definition = withModel({ background: 'always', taskServiceTiers: ['flex', 'deferred'] });
    for (const [tier, expected] of [
      ['deferred', 'deferred'],
      ['priority', undefined],
    ]) {
      offline.model.interactions.reset();
      const turn = new MemoryTurn({ message: 'hi', definition, metadata: { [serviceTierExtension]: tier! } });
      assert.deepEqual(await run(turn), completed);
      assert.equal(list()[0]!.request.service_tier, expected);
    }
  });

  test('keep nothing at Google if the definition says so', async () => {
    const definition = withModel({ store: false });
    const first = new MemoryTurn({ message: 'one', definition: { ...definition, tools: ['ask_user'] } });
    offline.model.script([
      { match: 'one', reactions: [{ functionCall: { name: 'ask_user', args: { question: 'Which?' } } }] },
    ]);
    await run(first);
    const second = first.next('two');
    offline.model.script([{ match: '', reactions: [{ chunks: ['the answer'] }] }]);
    assert.deepEqual(await run(second), completed);
    assert.equal(second.getArtifactText('answer'), 'the answer');
    assert.deepEqual(list(), []);
  });

  test('switch on the tools of Google, whose steps and citations reach the client', async () => {
    const definition = {
      ...withModel({ fileSearchStores: ['fileSearchStores/a'] }),
      tools: ['google_search', 'google_maps', 'file_search'],
    };
    const turn = new MemoryTurn({ message: 'tea', definition });
    assert.deepEqual(await run(turn), completed);
    assert.deepEqual(list()[0]!.request.tools, [
      { type: 'google_search' },
      { type: 'google_maps' },
      { type: 'file_search', file_search_store_names: ['fileSearchStores/a'] },
    ]);
    const { annotations, toolSteps } = turn.artifacts[0]!.metadata as Record<string, JsonObject[]>;
    assert.equal(annotations![0]!['url'], 'https://example.com/source');
    assert.deepEqual(toolSteps, [
      { type: 'google_search_call', id: 'search-1', arguments: { queries: ['offline'] } },
      {
        type: 'google_search_result',
        call_id: 'search-1',
        result: [{ url: 'https://example.com/source', title: 'A source' }],
      },
    ]);
  });

  test('name the MCP servers that Google calls, whose steps reach the client', async () => {
    const headers = { authorization: 'Bearer ${env:TOKEN}' };
    const server = { url: 'https://mcp.example/mcp', headers, allow: ['find'], calledBy: 'google' };
    const mcp = createMcpTools((name) => (name === 'TOKEN' ? 'secret' : undefined));
    for (const model of [{ background: 'always' }, { name: 'deep-research-preview-04-2026' }]) {
      offline.model.interactions.reset();
      const turn = new MemoryTurn({
        message: 'tea',
        definition: withModel(model, { mcpServers: { shop: server } }),
      });
      assert.deepEqual(await offline.createAgent({ mcp }).run(turn), completed);
      assert.deepEqual(list()[0]!.request.tools, [
        {
          type: 'mcp_server',
          name: 'shop',
          url: 'https://mcp.example/mcp',
          headers: { authorization: 'Bearer secret' },
          allowed_tools: [{ tools: ['find'] }],
        },
      ]);
      const { toolSteps } = turn.artifacts[0]!.metadata as Record<string, JsonObject[]>;
      assert.deepEqual(
        toolSteps!.map(({ type, name, server_name: from }) => [type, name, from]),
        [
          ['mcp_server_tool_call', 'find', 'shop'],
          ['mcp_server_tool_result', 'find', 'shop'],
        ],
      );
    }
  });

  test('wait for the credentials of an MCP server that Google calls', async () => {
    const server = { url: 'https://mcp.example', headers: { a: '${env:NONE}' }, calledBy: 'google' };
    const turn = new MemoryTurn({
      message: 'tea',
      definition: withModel({}, { mcpServers: { shop: server } }),
    });
    const outcome = await offline.createAgent({ mcp: createMcpTools(() => undefined) }).run(turn);
    assert.match(getOutcomeMessage(outcome), /"shop" needs credentials that this agent does not have: NONE/);
    assert.deepEqual(list(), []);
  });
});
