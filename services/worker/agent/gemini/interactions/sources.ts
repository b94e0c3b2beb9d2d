/**
 * Google's own tools as clients see them: their calls and results, and the citations in the text (types of @google/genai
 * 3.1). They become metadata of the answer. Pure.
 */
import type { Interactions } from '@google/genai';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Step } from './steps.ts';

/**
 * The steps of all tools that Google runs itself. Code that it ran is part of the answer. `tool_call`, which the types lack, is a
 * call of an MCP server as the Gemini API showed it in August 2026, without names (https://github.com/evansenter/genai-rs).
 */
const toolStep =
  /^(?:google_search|url_context|file_search|google_maps|mcp_server_tool|retrieval|tool)_(?:call|result)$/;

/** Results may contain whole pages. */
const maxStepBytes = 16 * 1024;
const maxBytes = 64 * 1024;

/** Returns undefined if the reply has no sources. */
export function getSources(steps: readonly Step[]): JsonObject | undefined {
  const annotations = steps.flatMap((step) => (step.type === 'model_output' ? getAnnotations(step) : []));
  const toolSteps = fit(steps.filter(({ type }) => toolStep.test(type)));
  if (annotations.length === 0 && toolSteps.length === 0) return undefined;
  return JSON.parse(
    JSON.stringify({
      ...(annotations.length > 0 && { annotations }),
      ...(toolSteps.length > 0 && { toolSteps }),
    }),
  ) as JsonObject;
}

function getAnnotations({ content = [] }: Interactions.ModelOutputStep): object[] {
  return content.flatMap((part) => (part.type === 'text' ? (part.annotations ?? []) : []));
}

/** Replaces what is too large by its type. Signatures are for Google alone. */
function fit(steps: readonly Step[]): object[] {
  let left = maxBytes;
  return steps.map((step) => {
    const { signature: _, ...shown } = step as Step & { signature?: string };
    const bytes = Buffer.byteLength(JSON.stringify(shown));
    if (bytes > Math.min(maxStepBytes, left)) return { type: step.type, cut: true };
    left -= bytes;
    return shown;
  });
}
