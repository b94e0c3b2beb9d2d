/** Builds the request of an interaction from the settings and the conversation that both APIs share. Pure. */
import type { Content, FunctionDeclaration, GenerateContentConfig, Interactions } from '@google/genai';
import { isGoogleAgent } from '#shared/agent/model-api.ts';
import type { Conversation } from '../conversation/conversation.ts';
import type { ModelRequest } from '../model/call.ts';
import { toSteps } from './steps.ts';

export type InteractionParams = Interactions.InteractionCreateParams.InteractionCreateParamsNonStreaming;

/** The parts of a request that depend on the call, not on the conversation. */
export interface CallSettings {
  background: boolean;
  /** Names the call for operators: lower-case letters, digits, `_` and `-`, at most 63. */
  labels: Record<string, string>;
  webhookUrl: string | undefined;
}

/** Settings apply to one interaction, so they are sent with each (docs/interactions, "Best practices", 2026-06-22). */
export function toParams(
  { model, config }: ModelRequest,
  input: { contents: readonly Content[]; previous: string | undefined },
  { background, labels, webhookUrl }: CallSettings,
): InteractionParams {
  const common = {
    input: toSteps(input.contents),
    store: true,
    background,
    labels,
    system_instruction: config.systemInstruction as string,
    ...(input.previous !== undefined && { previous_interaction_id: input.previous }),
    ...(webhookUrl !== undefined && { webhook_config: { uris: [webhookUrl], user_metadata: labels } }),
  };
  const tools = toTools(config, !isGoogleAgent(model));
  const withTools = { ...common, ...(tools.length > 0 && { tools }) };
  if (isGoogleAgent(model)) return { ...withTools, agent: model, ...getAgentSettings(model) };
  const generation = toGenerationConfig(config);
  return {
    ...withTools,
    model,
    ...(Object.keys(generation).length > 0 && { generation_config: generation }),
    ...(config.responseMimeType !== undefined && {
      response_format: {
        type: 'text',
        mime_type: config.responseMimeType,
        ...(config.responseJsonSchema !== undefined && { schema: config.responseJsonSchema }),
      },
    }),
  };
}

/** Antigravity works in a sandbox (docs/antigravity-agent, 2026-06-22). */
function getAgentSettings(agent: string): object {
  return agent.startsWith('deep-research-')
    ? { agent_config: { type: 'deep-research' } }
    : { environment: 'remote' };
}

function toGenerationConfig(config: GenerateContentConfig): Interactions.GenerationConfig {
  const { temperature, topP, maxOutputTokens, thinkingConfig } = config;
  const level = thinkingConfig?.thinkingLevel?.toLowerCase();
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(maxOutputTokens !== undefined && { max_output_tokens: maxOutputTokens }),
    ...(level !== undefined && { thinking_level: level }),
  };
}

function toTools({ tools = [] }: GenerateContentConfig, withFunctions: boolean): Interactions.Tool[] {
  return tools.flatMap((tool): Interactions.Tool[] => {
    if ('googleSearch' in tool) return [{ type: 'google_search' }];
    if ('urlContext' in tool) return [{ type: 'url_context' }];
    if ('codeExecution' in tool) return [{ type: 'code_execution' }];
    const declared = 'functionDeclarations' in tool ? (tool.functionDeclarations ?? []) : [];
    return withFunctions ? declared.map(toFunction) : [];
  });
}

function toFunction({
  name,
  description,
  parametersJsonSchema,
  parameters,
}: FunctionDeclaration): Interactions.Tool {
  const schema = parametersJsonSchema ?? parameters;
  return {
    type: 'function',
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    ...(schema !== undefined && { parameters: schema }),
  };
}

/**
 * Returns what to send: what follows the stored reply, or the whole conversation if there is none, or if something
 * was added to the request that it answered.
 */
export function selectInput({ contents, stored }: Conversation): {
  contents: readonly Content[];
  previous: string | undefined;
} {
  const whole = { contents, previous: undefined };
  if (stored === undefined) return whole;
  const index = contents.indexOf(stored.content);
  if (index === -1 || stored.content.parts?.length !== stored.parts) return whole;
  const following = contents.slice(index + 1);
  if (following[0]?.role === 'model') following.shift();
  return following.length === 0 ? whole : { contents: following, previous: stored.id };
}
