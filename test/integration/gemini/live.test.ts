/**
 * Calls the real Gemini if GEMINI_API_KEY is in the environment, with a few hundred tokens per run.
 * GEMINI_LIVE_MODEL selects another model than that of agent.yaml.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';

const apiKey = process.env['GEMINI_API_KEY'];
const skip = apiKey === undefined && 'GEMINI_API_KEY is not in the environment';

describe('the real model', { skip, timeout: 120_000 }, () => {
  test('calls a tool and answers with its result', async () => {
    const calls: JsonObject[] = [];
    const agent = createGeminiAgent({
      client: { apiKey },
      tools: [
        {
          declaration: {
            name: 'stock_of',
            description: 'How many pieces of an article are in stock.',
            parametersJsonSchema: {
              type: 'object',
              properties: { article: { type: 'string' } },
              required: ['article'],
            },
          },
          call: async (args): Promise<Json> => {
            calls.push(args);
            return { pieces: 4711 };
          },
        },
      ],
    });
    const definition = JSON.parse(JSON.stringify(await loadAgentDefinition(undefined))) as JsonObject;
    const name = process.env['GEMINI_LIVE_MODEL'];
    const turn = new MemoryTurn({
      message: 'How many pieces of the article "bolt" are in stock? Look it up.',
      definition: name === undefined ? definition : { ...definition, model: { name } },
    });
    assert.deepEqual(await agent.run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.equal(calls.length, 1);
    assert.match(turn.getArtifactText('answer') ?? '', /4[.,  ]?711/);
    const step = turn.steps.get('model#1')!;
    const usage = step.options.usage?.(JSON.parse(step.result) as Json);
    assert.ok((usage?.tokens.prompt ?? 0) > 0);
  });
});
