/** An offline model for the tests of one file, with the requests that it received, and agents that call it. */
import { after, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { respond, type Responder } from '#services/local/offline-model/responder.ts';
import { startOfflineModel, type OfflineModel } from '#services/local/offline-model/server.ts';
import type { GenerateRequest } from '#services/local/offline-model/wire.ts';
import type { Agent, TurnOutcome } from '#services/worker/agent/agent.ts';
import { createGeminiAgent, type GeminiAgentOptions } from '#services/worker/agent/gemini/agent.ts';
import type { Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import { minimalDefinition } from '../../support/agents/definition.ts';

export class OfflineFixture {
  /** The requests of the current test, in order. */
  requests: GenerateRequest[] = [];
  /** Answers the requests that no script matches. */
  responder: Responder = respond;
  #model: OfflineModel | undefined;

  get model(): OfflineModel {
    assert.ok(this.#model, 'the model is started before the first test');
    return this.#model;
  }

  /** The client options of an agent that calls this model. */
  get client(): { apiKey: string; baseUrl: string } {
    return { apiKey: 'any', baseUrl: this.model.url };
  }

  createAgent(options: Partial<GeminiAgentOptions> = {}): Agent {
    return createGeminiAgent({
      client: this.client,
      backoff: { calls: 3, firstMs: 20, longestInPlaceMs: 500 },
      ...options,
    });
  }

  async start(): Promise<void> {
    this.#model = await startOfflineModel({
      port: 0,
      responder: (request) => {
        this.requests.push(structuredClone(request));
        return this.responder(request);
      },
    });
  }

  reset(): void {
    this.model.reset();
    this.requests = [];
    this.responder = respond;
  }
}

/** Starts a model before the tests of the calling file and resets it before each test. */
export function useOfflineModel(): OfflineFixture {
  const fixture = new OfflineFixture();
  before(() => fixture.start());
  beforeEach(() => fixture.reset());
  after(() => fixture.model.close());
  return fixture;
}

/** A definition without tools of its own, so that the model has only those of the agent. */
export const definitionWithoutTools = { ...minimalDefinition, tools: [] };

/** A tool that records its calls. */
export function createTool(
  name: string,
  call: (...args: Parameters<Tool['call']>) => ReturnType<Tool['call']>,
  more: Partial<Tool> = {},
): Tool & { readonly calls: Parameters<Tool['call']>[] } {
  const calls: Parameters<Tool['call']>[] = [];
  return {
    declaration: { name, parametersJsonSchema: { type: 'object', properties: { key: { type: 'string' } } } },
    calls,
    call: async (...args) => {
      calls.push(args);
      return call(...args);
    },
    ...more,
  };
}

/** The text that an outcome has for clients. */
export function getOutcomeMessage(outcome: TurnOutcome): string {
  assert.ok('state' in outcome, JSON.stringify(outcome));
  const { message = '' } = outcome;
  return typeof message === 'string' ? message : (message[0]?.text ?? '');
}

/** Asserts that a turn failed, and returns its message. */
export function getFailure(outcome: TurnOutcome): string {
  assert.ok('state' in outcome && outcome.state === 'TASK_STATE_FAILED', JSON.stringify(outcome));
  return getOutcomeMessage(outcome);
}
