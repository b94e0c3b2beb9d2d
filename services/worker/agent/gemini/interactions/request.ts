/** Builds the request of an interaction from the settings and the conversation that both APIs share. Pure. */
import type { Content, FunctionDeclaration, GenerateContentConfig, Interactions } from '@google/genai';
import { isGoogleAgent } from '#shared/agent/model-api.ts';
import type { ModelSettings } from '#shared/agent/model-settings.ts';
import { webhookTokenKey } from '#shared/domain/wait.ts';
import type { Conversation } from '../conversation/conversation.ts';
import type { ModelRequest } from '../model/call.ts';
import { toAgentParams } from './agent-params.ts';
import { toSteps } from './steps.ts';

export type InteractionParams = Interactions.InteractionCreateParams.InteractionCreateParamsNonStreaming;

/** The part of the conversation that a call sends. */
export interface CallInput {
  contents: readonly Content[];
  /** The id of the interaction that the call continues. */
  previous: string | undefined;
  /** The token of a reply that the call continues. */
  continuation?: string;
  /** The environment of a managed agent that the call continues. */
  environment?: string;
}

/** Where Gemini reports the end of a call: a URL, or a webhook of the project, which gets the token of the wait. */
export type WebhookTarget = { url: string } | { token: string };

/** The parts of a request that depend on the call, not on the conversation. */
export interface CallSettings {
  background: boolean;
  /** Names the call for operators: lower-case letters, digits, `_` and `-`, at most 63. */
  labels: Record<string, string>;
  webhook: WebhookTarget | undefined;
  settings: ModelSettings;
  /** The agent proposes a plan instead of working. */
  plans: boolean;
  /** MCP servers that Google calls. */
  googleServers: readonly Interactions.Tool[];
}

/** Settings apply to one interaction, so they are sent with each (docs/interactions, "Best practices", 2026-06-22). */
export function toParams(
  { model, config }: ModelRequest,
  input: CallInput,
  { background, labels, webhook, settings, plans, googleServers }: CallSettings,
): InteractionParams {
  const common = {
    ...(input.contents.length > 0 && { input: toSteps(input.contents) }),
    ...(input.continuation !== undefined && { continuation_token: input.continuation }),
    store: settings.store ?? true,
    background,
    ...(settings.serviceTier !== undefined && { service_tier: settings.serviceTier }),
    labels,
    system_instruction: config.systemInstruction as string,
    ...(input.previous !== undefined && { previous_interaction_id: input.previous }),
    ...(webhook !== undefined && { webhook_config: toWebhookConfig(webhook, labels) }),
  };
  const tools = [...toTools(config, !isGoogleAgent(model)), ...googleServers];
  const withTools = { ...common, ...(tools.length > 0 && { tools }) };
  if (isGoogleAgent(model))
    return { ...withTools, agent: model, ...toAgentParams(settings, plans, input.environment) };
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

function toWebhookConfig(
  webhook: WebhookTarget,
  labels: CallSettings['labels'],
): InteractionParams['webhook_config'] {
  return 'url' in webhook
    ? { uris: [webhook.url], user_metadata: labels }
    : { user_metadata: { ...labels, [webhookTokenKey]: webhook.token } };
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
    if ('googleMaps' in tool) return [{ type: 'google_maps' }];
    if ('fileSearch' in tool) {
      return [{ type: 'file_search', file_search_store_names: tool.fileSearch?.fileSearchStoreNames ?? [] }];
    }
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
export function selectInput(conversation: Conversation): CallInput {
  const { environment } = conversation;
  return { ...selectContents(conversation), ...(environment !== undefined && { environment }) };
}

function selectContents({ contents, stored, unfinished }: Conversation): CallInput {
  if (unfinished?.continuation !== undefined) {
    const { interaction: previous, continuation } = unfinished;
    // Google has the input of a call that it has stored.
    return { contents: previous === undefined ? contents : [], previous, continuation };
  }
  const whole = { contents, previous: undefined };
  if (stored === undefined) return whole;
  const index = contents.indexOf(stored.content);
  if (index === -1 || stored.content.parts?.length !== stored.parts) return whole;
  const following = contents.slice(index + 1);
  if (following[0]?.role === 'model') following.shift();
  return following.length === 0 ? whole : { contents: following, previous: stored.id };
}
