/**
 * Refuses the requests that the Interactions API refuses, as far as its reference says
 * (ai.google.dev/api/interactions-api, 2026-06-22; types of @google/genai 3.1).
 */
import { GoogleError } from '../google-error.ts';
import type { CreateRequest } from './wire.ts';

const tiers = ['flex', 'standard', 'priority', 'deferred'];

/** @throws {GoogleError} 400 for what the API refuses */
export function checkCreate(body: unknown): CreateRequest {
  const request = (typeof body === 'object' && body !== null ? body : {}) as CreateRequest;
  const { model, agent, background = false, store = true, labels = {}, service_tier: tier } = request;
  if ((model === undefined) === (agent === undefined))
    throw invalid('Exactly one of model and agent must be set.');
  if (agent !== undefined && !background) throw invalid(`The agent ${agent} requires background=true.`);
  if (background && !store) throw invalid('store=false is not supported with background=true.');
  if (request.webhook_config !== undefined && !background)
    throw invalid('webhook_config requires background=true.');
  if (tier !== undefined && !tiers.includes(tier)) throw invalid(`Invalid service_tier ${tier}.`);
  for (const { type, url = '' } of request.tools ?? []) {
    if (type === 'mcp_server' && !/^https?:/.test(url))
      throw invalid('tools: an mcp_server must have a url.');
  }
  checkInput(request);
  checkSignatures(request);
  checkAgent(request);
  for (const [key, value] of Object.entries(labels)) {
    if (/^[a-z][a-z0-9_-]{0,62}$/.test(key) && /^[a-z0-9_-]{0,63}$/.test(value)) continue;
    throw invalid(`The label ${key} is not valid.`);
  }
  return request;
}

/** A stored interaction is continued without input: the server has it. */
function checkInput({ input, continuation_token: token, previous_interaction_id: previous }: CreateRequest) {
  const isContinued = token !== undefined && previous !== undefined;
  if (isContinued && input !== undefined) throw invalid('A stored interaction is continued without input.');
  if (!isContinued && (input === undefined || input.length === 0)) throw invalid('input is required.');
}

/** The first of several calls of a history must have its signature (https://github.com/evansenter/genai-rs, in July 2026). */
function checkSignatures({ input = [] }: CreateRequest): void {
  if (typeof input === 'string') return;
  for (const [index, step] of input.entries()) {
    if (step.type !== 'function_call' || input[index - 1]?.type === 'function_call') continue;
    if (step.signature === undefined) throw invalid(`The function_call ${step.id} is missing its signature.`);
  }
}

function checkAgent({ agent = '', agent_config: config, environment }: CreateRequest): void {
  if (environment !== undefined && !agent.startsWith('antigravity-'))
    throw invalid('environment is supported for managed agents only.');
  if (config === undefined) return;
  const kind = agent.startsWith('deep-research-') ? 'deep-research' : 'antigravity';
  if (agent === '' || config.type !== kind)
    throw invalid(`agent_config of type ${config.type} does not belong to ${agent || 'a model'}.`);
  const accepted: Record<string, readonly unknown[]> = {
    collaborative_planning: [true, false],
    thinking_summaries: ['auto', 'none'],
    visualization: ['auto', 'off'],
  };
  for (const [name, value] of Object.entries(config)) {
    if (accepted[name]?.includes(value) === false) throw invalid(`Invalid agent_config.${name}.`);
  }
}

function invalid(message: string): GoogleError {
  return new GoogleError(400, { message });
}
