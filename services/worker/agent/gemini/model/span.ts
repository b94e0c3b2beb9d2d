/**
 * The span of one model call, including its retries in place, with its duration and tokens, under
 * OpenTelemetry's semantic conventions for generative AI. Prompts and answers are not recorded unless that is
 * configured (invariant 12).
 */
import type { Content, Part } from '@google/genai';
import type { JsonObject } from '#shared/domain/message.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { inSpan, SpanKind } from '#shared/runtime/spans.ts';
import type { GeminiModel, ModelRequest } from './call.ts';
import { toTokenCounts } from './cost.ts';
import type { ModelResponse } from './response.ts';
import type { FailedCall } from './stall.ts';

const operation = 'generate_content';

export async function inModelSpan(
  { client, captureContent }: GeminiModel,
  { model, contents, config }: ModelRequest,
  run: () => Promise<ModelResponse | FailedCall>,
): Promise<ModelResponse | FailedCall> {
  const startedAt = performance.now();
  const common = {
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': client.vertexai ? 'gcp.vertex_ai' : 'gcp.gemini',
    'gen_ai.request.model': model,
  };
  const attributes = {
    ...common,
    ...(captureContent && { 'gen_ai.input.messages': toCapturedMessages(contents) }),
    ...(config.maxOutputTokens !== undefined && { 'gen_ai.request.max_tokens': config.maxOutputTokens }),
    ...(config.temperature !== undefined && { 'gen_ai.request.temperature': config.temperature }),
  };
  const recordDuration = (more: object): void =>
    instruments.modelDuration.record((performance.now() - startedAt) / 1000, { ...common, ...more });
  return inSpan(`${operation} ${model}`, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    try {
      const response = await run();
      const { input, output } = sumTokens(response.usage);
      const { model: answeredBy } = response.usage;
      span.setAttributes({
        'gen_ai.response.model': typeof answeredBy === 'string' ? answeredBy : model,
        'gen_ai.usage.input_tokens': input,
        'gen_ai.usage.output_tokens': output,
        ...('failed' in response
          ? { 'error.type': response.failed.kind }
          : {
              'gen_ai.response.finish_reasons': [response.finishReason ?? response.blockReason ?? 'unknown'],
              ...(captureContent && { 'gen_ai.output.messages': toCapturedMessages([response.content]) }),
            }),
      });
      instruments.modelTokens.record(input, { ...common, 'gen_ai.token.type': 'input' });
      instruments.modelTokens.record(output, { ...common, 'gen_ai.token.type': 'output' });
      recordDuration('failed' in response ? { 'error.type': response.failed.kind } : {});
      return response;
    } catch (error) {
      recordDuration({ 'error.type': error instanceof Error ? error.name : typeof error });
      throw error;
    }
  });
}

function sumTokens(usage: JsonObject): { input: number; output: number } {
  const { prompt, tool, output, thoughts } = toTokenCounts(usage);
  return { input: prompt + tool, output: output + thoughts };
}

/**
 * Returns contents in the form of `gen_ai.input.messages` and `gen_ai.output.messages`. Files show only their
 * type.
 */
function toCapturedMessages(contents: readonly Content[]): string {
  return JSON.stringify(
    contents.map(({ role, parts = [] }) => ({
      role: role === 'model' ? 'assistant' : 'user',
      parts: parts.map(toCapturedPart),
    })),
  );
}

function toCapturedPart({
  text,
  thought,
  functionCall,
  functionResponse,
  inlineData,
  fileData,
}: Part): object {
  if (functionCall !== undefined) {
    const { id, name, args } = functionCall;
    return { type: 'tool_call', id, name, arguments: args };
  }
  if (functionResponse !== undefined) {
    const { id, response } = functionResponse;
    return { type: 'tool_call_response', id, response };
  }
  if (text !== undefined) return { type: thought === true ? 'reasoning' : 'text', content: text };
  return { type: 'file', mime_type: inlineData?.mimeType ?? fileData?.mimeType };
}
