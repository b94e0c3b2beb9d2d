/** Builds the part of each request to the model that comes from the definition. */
import type {
  FunctionDeclaration,
  GenerateContentConfig,
  ServiceTier,
  ThinkingLevel,
  Tool as GeminiTool,
} from '@google/genai';
import { geminiTools, type AgentDefinition } from '#shared/agent/definition.ts';
import type { ModelSettings } from '#shared/agent/model-settings.ts';
import { askUser } from '../tools/ask-user.ts';
import type { DeclaredTool } from '../tools/tool.ts';

const toToolRequest: Record<(typeof geminiTools)[number], (model: ModelSettings) => GeminiTool> = {
  google_search: () => ({ googleSearch: {} }),
  url_context: () => ({ urlContext: {} }),
  code_execution: () => ({ codeExecution: {} }),
  google_maps: () => ({ googleMaps: {} }),
  file_search: ({ fileSearchStores = [] }) => ({ fileSearch: { fileSearchStoreNames: fileSearchStores } }),
};

/** Models before Gemini 3 accept fewer combinations of tools, schemas and files. */
export function isBeforeGemini3(model: string): boolean {
  return /^gemini-[12]\b/.test(model);
}

/**
 * @param options.json whether the caller accepts only data
 * @param options.notes sentences that the model gets after its instruction
 */
export function toGenerateConfig(
  definition: AgentDefinition,
  tools: readonly DeclaredTool[],
  { vertexai, json, notes }: { vertexai: boolean; json: boolean; notes: readonly string[] },
): GenerateContentConfig {
  const { temperature, topP, topK, maxOutputTokens, thinkingBudget, thinkingLevel, serviceTier } =
    definition.model;
  const functionDeclarations: FunctionDeclaration[] = tools.flatMap(({ declaration, hidden }) =>
    hidden === true ? [] : [declaration],
  );
  // Models before Gemini 3 refuse functions together with a response schema, so ask_user is left out.
  if (definition.tools.includes('ask_user') && definition.responseSchema === undefined)
    functionDeclarations.push(askUser);
  const ownTools = geminiTools
    .filter((name) => definition.tools.includes(name))
    .map((name) => toToolRequest[name](definition.model));
  const allTools = functionDeclarations.length > 0 ? [{ functionDeclarations }, ...ownTools] : ownTools;
  // The Developer API accepts functions together with Gemini's own tools only if the calls of those tools may
  // appear in the content.
  const mixed = functionDeclarations.length > 0 && ownTools.length > 0 && !vertexai;
  const asJson = json && (allTools.length === 0 || !isBeforeGemini3(definition.model.name));
  return {
    systemInstruction: [definition.instruction, ...notes].join('\n\n'),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && { topK }),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(serviceTier !== undefined && serviceTier !== 'batch' && { serviceTier: serviceTier as ServiceTier }),
    ...(thinkingBudget !== undefined && { thinkingConfig: { thinkingBudget } }),
    ...(thinkingLevel !== undefined && {
      thinkingConfig: { thinkingLevel: thinkingLevel.toUpperCase() as ThinkingLevel },
    }),
    ...(allTools.length > 0 && { tools: allTools }),
    ...(mixed && { toolConfig: { includeServerSideToolInvocations: true } }),
    ...((definition.responseSchema !== undefined || asJson) && { responseMimeType: 'application/json' }),
    ...(definition.responseSchema !== undefined && { responseJsonSchema: definition.responseSchema }),
    // The Gemini API keeps requests and replies of newer projects otherwise (ai.google.dev/gemini-api/docs/logs-datasets, read in November
    // 2026). Google Cloud does not accept this field.
    ...(!vertexai && { store: false }),
    // The SDK's own loop would run the tools outside of the durable steps.
    automaticFunctionCalling: { disable: true },
  };
}
