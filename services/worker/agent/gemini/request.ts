/** What of a definition goes into each call of the model. */
import type { FunctionDeclaration, GenerateContentConfig, ThinkingLevel } from '@google/genai';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { askUser } from './ask-user.ts';
import type { Tool } from './tool.ts';

export function configOf(definition: AgentDefinition, tools: readonly Tool[]): GenerateContentConfig {
  const { name: _, thinkingBudget, thinkingLevel, ...sampling } = definition.model;
  const functionDeclarations: FunctionDeclaration[] = tools.map(({ declaration }) => declaration);
  // Models before Gemini 3 refuse functions beside a response schema, so the built-in one stays away.
  if (definition.tools.includes('ask_user') && definition.responseSchema === undefined)
    functionDeclarations.push(askUser);
  return {
    systemInstruction: definition.instruction,
    ...sampling,
    ...(thinkingBudget !== undefined && { thinkingConfig: { thinkingBudget } }),
    ...(thinkingLevel !== undefined && {
      thinkingConfig: { thinkingLevel: thinkingLevel.toUpperCase() as ThinkingLevel },
    }),
    ...(functionDeclarations.length > 0 && { tools: [{ functionDeclarations }] }),
    ...(definition.responseSchema !== undefined && {
      responseMimeType: 'application/json',
      responseJsonSchema: definition.responseSchema,
    }),
    // The SDK's own loop would run the tools out of sight of the steps.
    automaticFunctionCalling: { disable: true },
  };
}
