/**
 * The parameters of Google's agents (ai.google.dev/gemini-api/docs/interactions/deep-research and /antigravity-agent,
 * 2026-06-22; types of @google/genai 3.1). They apply to one interaction, so they are sent with each. Pure.
 */
import type { Interactions } from '@google/genai';
import { isDeepResearch } from '#shared/agent/model-api.ts';
import type { ModelSettings } from '#shared/agent/model-settings.ts';

type AgentParams = Pick<
  Interactions.InteractionCreateParams.CreateAgentInteractionParamsNonStreaming,
  'agent_config' | 'environment'
>;

/** @param plans the agent proposes a plan; false: it carries out what was agreed */
export function toAgentParams(
  { name, agentConfig = {}, environment }: ModelSettings,
  plans: boolean,
): AgentParams {
  const { collaborativePlanning, thinkingSummaries, visualization, model, maxTotalTokens } = agentConfig;
  if (isDeepResearch(name)) {
    return {
      agent_config: {
        type: 'deep-research',
        ...(collaborativePlanning === true && { collaborative_planning: plans }),
        ...(thinkingSummaries !== undefined && { thinking_summaries: thinkingSummaries }),
        ...(visualization !== undefined && { visualization }),
      },
    };
  }
  const config = {
    ...(model !== undefined && { model }),
    ...(maxTotalTokens !== undefined && { max_total_tokens: String(maxTotalTokens) }),
  };
  return {
    ...(Object.keys(config).length > 0 && { agent_config: { type: 'antigravity', ...config } }),
    environment: toEnvironment(environment),
  };
}

/** Antigravity always works in a sandbox. */
function toEnvironment(environment: ModelSettings['environment']): AgentParams['environment'] {
  if (environment === undefined) return 'remote';
  const { id, allowDomains, sources } = environment;
  return {
    type: 'remote',
    ...(id !== undefined && { environment_id: id }),
    ...(allowDomains !== undefined && {
      network:
        allowDomains.length === 0 ? 'disabled' : { allowlist: allowDomains.map((domain) => ({ domain })) },
    }),
    ...(sources !== undefined && { sources }),
  };
}
