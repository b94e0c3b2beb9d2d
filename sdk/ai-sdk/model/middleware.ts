/** The middleware for `wrapLanguageModel` (specification version 4). */
import type { Calls } from '../calls.ts';
import { generate, stream } from './language-model.ts';
import type { StreamedAnswer } from './streamed-answer.ts';
import type { LanguageModelLike } from '../types.ts';

/** `R` is the type of the result in the version of the AI SDK that calls it. */
export interface DurableMiddleware {
  readonly specificationVersion: 'v4';
  wrapGenerate<R>(options: MiddlewareCall<'doGenerate', R>): Promise<R>;
  wrapStream<R>(options: MiddlewareCall<'doStream', R>): Promise<R>;
}

type MiddlewareCall<Method extends string, R> = Record<Method, () => PromiseLike<R>> & {
  params: object;
  model: LanguageModelLike;
};

export function createMiddleware(calls: Calls, answer: StreamedAnswer): DurableMiddleware {
  type AnyModel = Parameters<typeof generate>[1];
  return {
    specificationVersion: 'v4',
    // The model is called itself: `doGenerate` and `doStream` would not get the signal of the step.
    wrapGenerate: async <R>({ model, params }: MiddlewareCall<'doGenerate', R>) =>
      (await generate(calls, model as unknown as AnyModel, { ...params })) as R,
    wrapStream: async <R>({ model, params }: MiddlewareCall<'doStream', R>) =>
      (await stream(calls, model as unknown as AnyModel, { ...params }, answer)) as R,
  };
}
