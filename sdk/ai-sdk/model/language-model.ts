/** Records the calls of a language model, and replays them. */
import type { Json } from '#shared/domain/message.ts';
import { createDigest, joinSignals, type Calls } from '../calls.ts';
import { decode, encode } from '../codec.ts';
import { getText, LiveStream, readParts, replay } from './stream.ts';
import type { StreamedAnswer } from './streamed-answer.ts';
import type { CallOptions, LanguageModelLike, StreamPart, StreamResult } from '../types.ts';
import { toUsage, type SdkUsage } from './usage.ts';

/** A model without its type: the functions below pass on what they do not read. */
interface AnyModel {
  readonly modelId: string;
  doGenerate(options: CallOptions): PromiseLike<JsonFields>;
  doStream(options: CallOptions): PromiseLike<StreamResult>;
}

type JsonFields = Record<string, unknown>;

/** Records what `doGenerate` returns, without the bodies and headers of the request and the response. */
export async function generate(calls: Calls, model: AnyModel, options: CallOptions): Promise<JsonFields> {
  const recorded = await calls.model(
    identify('generate', model, options),
    async (step) => {
      const {
        request: _request,
        response,
        ...result
      } = await model.doGenerate({
        ...options,
        abortSignal: joinSignals(options.abortSignal, step.signal),
      });
      return encode({ ...result, response: describeResponse(response) });
    },
    (result) => toUsage((result as { usage?: SdkUsage }).usage, model.modelId, calls.turn.definition),
  );
  return decode(recorded) as JsonFields;
}

/** Passes on what the model streams, and records it; or streams the record, without calling the model. */
export async function stream(
  calls: Calls,
  model: AnyModel,
  options: CallOptions,
  answer: StreamedAnswer,
): Promise<StreamResult> {
  const opened = Promise.withResolvers<ReadableStream<StreamPart>>();
  const canceled = new AbortController();
  let live: LiveStream | undefined;
  const recorded = calls.model(
    identify('stream', model, options),
    async (step) => {
      const source = await model.doStream({
        ...options,
        abortSignal: joinSignals(options.abortSignal, step.signal, canceled.signal),
      });
      const open = new LiveStream((reason) => canceled.abort(reason));
      live = open;
      opened.resolve(open.readable);
      const text = answer.open(options);
      let parts: StreamPart[];
      try {
        parts = await readParts(source.stream, (part) => {
          if (part.type === 'text-delta' && part.delta !== undefined) text.write(part.delta);
          open.write(part);
        });
      } finally {
        await text.close();
      }
      return encode(parts);
    },
    (parts) => toUsage(findUsage(parts), model.modelId, calls.turn.definition),
  );
  finish().catch((error: unknown) => {
    live?.fail(error);
    opened.reject(error);
  });
  return { stream: await opened.promise };

  async function finish(): Promise<void> {
    const parts = decode(await recorded) as StreamPart[];
    answer.recorded(getText(parts), options);
    if (live === undefined) return opened.resolve(replay(parts));
    if (parts.some(({ type }) => type === 'tool-call')) await answer.keepRemark(getText(parts), options);
    live.release();
  }
}

/** Calls of the same model with the same settings are the same call; settings of the transport do not count. */
function identify(kind: string, { modelId }: LanguageModelLike | AnyModel, options: CallOptions): Json {
  const { abortSignal: _signal, headers: _headers, includeRawChunks: _raw, ...settings } = options;
  return createDigest(kind, [modelId, settings]);
}

function describeResponse(response: unknown): object {
  const { headers: _headers, body: _body, ...metadata } = (response ?? {}) as JsonFields;
  // The AI SDK makes up what is missing: again each time that the turn runs.
  return { id: globalThis.crypto.randomUUID(), timestamp: new Date(), ...metadata };
}

function findUsage(parts: Json): SdkUsage | undefined {
  const finish = (parts as unknown as StreamPart[]).find(({ type }) => type === 'finish');
  return finish?.['usage'] as SdkUsage | undefined;
}
