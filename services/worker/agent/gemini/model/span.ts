/**
 * The span of one call of the model, its quick retries included, its time and its tokens: by OpenTelemetry's semantic
 * conventions of generative AI. What was said is no part of it unless somebody asks for that (invariant 12).
 */
import type { JsonObject } from '#shared/domain/message.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { inSpan, SpanKind } from '#shared/runtime/spans.ts';
import { captured } from './captured-content.ts';
import type { Model, ModelRequest } from './call.ts';
import type { ModelResponse } from './response.ts';

const operation = 'generate_content';

export async function inModelSpan(
  { client, captureContent }: Model,
  { model, contents, config }: ModelRequest,
  run: () => Promise<ModelResponse>,
): Promise<ModelResponse> {
  const began = performance.now();
  const common = {
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': client.vertexai ? 'gcp.vertex_ai' : 'gcp.gemini',
    'gen_ai.request.model': model,
  };
  const attributes = {
    ...common,
    ...(captureContent && { 'gen_ai.input.messages': captured(contents) }),
    ...(config.maxOutputTokens !== undefined && { 'gen_ai.request.max_tokens': config.maxOutputTokens }),
    ...(config.temperature !== undefined && { 'gen_ai.request.temperature': config.temperature }),
  };
  const time = (more: object): void =>
    instruments.modelDuration.record((performance.now() - began) / 1000, { ...common, ...more });
  return inSpan(`${operation} ${model}`, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    try {
      const record = await run();
      const { input, output } = tokensOf(record.usage);
      const { model: answeredBy } = record.usage;
      span.setAttributes({
        'gen_ai.response.model': typeof answeredBy === 'string' ? answeredBy : model,
        'gen_ai.response.finish_reasons': [record.finishReason ?? record.blockReason ?? 'unknown'],
        'gen_ai.usage.input_tokens': input,
        'gen_ai.usage.output_tokens': output,
        ...(captureContent && { 'gen_ai.output.messages': captured([record.content]) }),
      });
      instruments.modelTokens.record(input, { ...common, 'gen_ai.token.type': 'input' });
      instruments.modelTokens.record(output, { ...common, 'gen_ai.token.type': 'output' });
      time({});
      return record;
    } catch (error) {
      time({ 'error.type': error instanceof Error ? error.name : typeof error });
      throw error;
    }
  });
}

/** @param usage by the names of Gemini's `usageMetadata` */
function tokensOf(usage: JsonObject): { input: number; output: number } {
  const count = (name: string): number => (typeof usage[name] === 'number' ? usage[name] : 0);
  return {
    input: count('promptTokenCount') + count('toolUsePromptTokenCount'),
    output: count('candidatesTokenCount') + count('thoughtsTokenCount'),
  };
}
