/** What of a definition goes into each call of the model. */
import type {
  FunctionDeclaration,
  GenerateContentConfig,
  ThinkingLevel,
  Tool as GeminiTool,
} from '@google/genai';
import { geminiTools, type AgentDefinition } from '#shared/agent/definition.ts';
import { askUser } from '../tools/ask-user.ts';
import type { Tool } from '../tools/tool.ts';

const ownTools: Record<(typeof geminiTools)[number], GeminiTool> = {
  google_search: { googleSearch: {} },
  url_context: { urlContext: {} },
  code_execution: { codeExecution: {} },
};

/** Models before Gemini 3 take less together. */
export function isBefore3(model: string): boolean {
  return /^gemini-[12]\b/.test(model);
}

/** @param json whether the caller accepts nothing but data */
export function configOf(
  definition: AgentDefinition,
  tools: readonly Tool[],
  { vertexai, json }: { vertexai: boolean; json: boolean },
): GenerateContentConfig {
  const { name: _, thinkingBudget, thinkingLevel, ...sampling } = definition.model;
  const functionDeclarations: FunctionDeclaration[] = tools.map(({ declaration }) => declaration);
  // Models before Gemini 3 refuse functions beside a response schema, so the built-in one stays away.
  if (definition.tools.includes('ask_user') && definition.responseSchema === undefined)
    functionDeclarations.push(askUser);
  const own = geminiTools.filter((name) => definition.tools.includes(name)).map((name) => ownTools[name]);
  const all = functionDeclarations.length > 0 ? [{ functionDeclarations }, ...own] : own;
  // The Developer API takes both kinds together only where it may show its own calls in the content.
  const both = functionDeclarations.length > 0 && own.length > 0 && !vertexai;
  const jsonToo = json && (all.length === 0 || !isBefore3(definition.model.name));
  return {
    systemInstruction: definition.instruction,
    ...sampling,
    ...(thinkingBudget !== undefined && { thinkingConfig: { thinkingBudget } }),
    ...(thinkingLevel !== undefined && {
      thinkingConfig: { thinkingLevel: thinkingLevel.toUpperCase() as ThinkingLevel },
    }),
    ...(all.length > 0 && { tools: all }),
    ...(both && { toolConfig: { includeServerSideToolInvocations: true } }),
    ...((definition.responseSchema !== undefined || jsonToo) && { responseMimeType: 'application/json' }),
    ...(definition.responseSchema !== undefined && { responseJsonSchema: definition.responseSchema }),
    // The SDK's own loop would run the tools out of sight of the steps.
    automaticFunctionCalling: { disable: true },
  };
}
