/** How an interaction that has ended becomes the response of a model call. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Interactions } from '@google/genai';
import { getSources } from '#services/worker/agent/gemini/interactions/sources.ts';
import { toCounts, toResponse } from '#services/worker/agent/gemini/interactions/response.ts';
import { toSteps, toParts } from '#services/worker/agent/gemini/interactions/steps.ts';
import { toModelUsage } from '#services/worker/agent/gemini/model/cost.ts';
import { Stall } from '#services/worker/agent/gemini/model/stall.ts';
import type { ModelResponse } from '#services/worker/agent/gemini/model/response.ts';

const model = { name: 'gemini-3.8-flash' };
const cited = (text: string, url: string) =>
  ({
    type: 'model_output',
    content: [{ type: 'text', text, annotations: [{ type: 'url_citation', url }] }],
  }) as const;
const convert = (fields: object): ModelResponse => {
  const interaction = { id: 'v1_a', status: 'completed', ...fields } as Interactions.Interaction;
  return toResponse({ interaction }, { model, base: 1 }, new Stall(model.name, 3600)) as ModelResponse;
};

describe('the response of an interaction', () => {
  test('has the reply alone if the interaction has its whole conversation', () => {
    const { content, sources } = convert({
      steps: [
        { type: 'user_input', content: [{ type: 'text', text: 'one' }] },
        cited('before', 'https://example.com/1'),
        { type: 'user_input', content: [{ type: 'text', text: 'two' }] },
        cited('now', 'https://example.com/2'),
      ],
    });
    assert.deepEqual(content, { role: 'model', parts: [{ text: 'now' }] });
    assert.deepEqual(sources, { annotations: [{ type: 'url_citation', url: 'https://example.com/2' }] });
  });

  test('is cut if it requires a continuation but has no token for it', () => {
    const steps = [{ type: 'model_output', content: [{ type: 'text', text: 'half' }] }];
    const cut = convert({ status: 'requires_continuation', steps });
    assert.deepEqual([cut.finishReason, cut.continuation], ['MAX_TOKENS', undefined]);
    const continued = convert({ status: 'requires_continuation', continuation_token: 'more', steps });
    assert.deepEqual([continued.finishReason, continued.continuation], ['REQUIRES_CONTINUATION', 'more']);
  });

  test('has the calls of MCP servers in both of their forms', () => {
    const steps = [
      { type: 'tool_call', id: 'a', signature: 'secret' },
      { type: 'mcp_server_tool_call', id: 'b', name: 'find', server_name: 'shop', arguments: {} },
      { type: 'function_call', id: 'c', name: 'f', arguments: {} },
    ];
    assert.deepEqual(getSources(steps as Interactions.Step[]), {
      toolSteps: [{ type: 'tool_call', id: 'a' }, steps[1]],
    });
  });

  test('returns the signature of a call to Google', () => {
    const step = { type: 'function_call', id: 'a', name: 'f', arguments: { n: 1 }, signature: 's' } as const;
    assert.deepEqual(toSteps([{ role: 'model', parts: toParts([step]) }]), [step]);
  });

  test('counts the searches of Google, with their price', () => {
    const usage = {
      total_input_tokens: 1_000_000,
      grounding_tool_count: [{ type: 'google_search', count: 3 }],
    };
    const counts = toCounts({ usage }, model.name);
    const price = { input: 2, output: 1, toolCalls: { google_search: 0.5, google_maps: 7 } };
    assert.equal(toModelUsage(counts, model.name, { [model.name]: price }).cost, 3.5);
  });
});
