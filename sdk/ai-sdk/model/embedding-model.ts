/** Records the calls of an embedding model, and replays them. */
import { createDigest, joinSignals, type Calls } from '../calls.ts';
import { decode, encode } from '../codec.ts';
import { toUsage, type SdkUsage } from './usage.ts';

interface AnyEmbeddingModel {
  readonly modelId: string;
  doEmbed(options: EmbedOptions): PromiseLike<Record<string, unknown>>;
}

export interface EmbedOptions {
  values?: unknown;
  abortSignal?: AbortSignal | undefined;
  headers?: unknown;
  [setting: string]: unknown;
}

export async function embed(
  calls: Calls,
  model: AnyEmbeddingModel,
  options: EmbedOptions,
): Promise<Record<string, unknown>> {
  const { abortSignal, headers: _headers, ...settings } = options;
  const recorded = await calls.model(
    createDigest('embed', [model.modelId, settings]),
    async (step) => {
      const { response: _response, ...result } = await model.doEmbed({
        ...options,
        abortSignal: joinSignals(abortSignal, step.signal),
      });
      return encode(result);
    },
    (result) => toUsage((result as { usage?: SdkUsage }).usage, model.modelId, calls.turn.definition),
  );
  return decode(recorded) as Record<string, unknown>;
}
