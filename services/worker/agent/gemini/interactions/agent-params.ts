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

/**
 * @param plans the agent proposes a plan; false: it carries out what was agreed
 * @param continued the environment of the task's last call
 */
export function toAgentParams(
  { name, agentConfig = {}, environment }: ModelSettings,
  plans: boolean,
  continued: string | undefined,
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
    environment: toEnvironment(environment, continued),
  };
}

/** Antigravity always works in a sandbox. Sources are mounted once, so that they do not replace what it has changed. */
function toEnvironment(
  environment: ModelSettings['environment'],
  continued: string | undefined,
): AgentParams['environment'] {
  if (environment === undefined) return continued ?? 'remote';
  const { id = continued, allowDomains } = environment;
  const sources = continued === undefined ? environment.sources : undefined;
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
