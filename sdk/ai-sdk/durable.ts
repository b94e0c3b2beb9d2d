/** Binds models, tools and agents of the AI SDK to one turn. */
import type { Turn, TurnOutcome } from '#services/worker/agent/agent.ts';
import { Calls } from './calls.ts';
import { embed, type EmbedOptions } from './model/embedding-model.ts';
import { createMiddleware, type DurableMiddleware } from './model/middleware.ts';
import { generate, stream } from './model/language-model.ts';
import { runAgent } from './run/run.ts';
import { StreamedAnswer } from './model/streamed-answer.ts';
import { wrapTool, type ToolOptions } from './tools.ts';
import { toTurnError } from './run/errors.ts';
import type { CallOptions, EmbeddingModelLike, LanguageModelLike, RunnableAgent, ToolLike } from './types.ts';

export interface Durable {
  /**
   * Returns the model, whose calls are steps of the turn: each is made once, and replayed when the turn runs again. The
   * text that it streams is also the artifact `answer` of the task.
   *
   * @param model of a provider: `google('gemini-3-pro')`, not the id of a model alone
   */
  readonly model: <M extends LanguageModelLike>(model: M) => M;
  /** The same as middleware, for `wrapLanguageModel` of AI SDK 7. */
  readonly middleware: DurableMiddleware;
  /** Returns the embedding model, whose calls are steps of the turn. */
  readonly embeddingModel: <M extends EmbeddingModelLike>(model: M) => M;
  /**
   * Returns the tools, whose `execute` runs once for each tool call. Tools that call durable models or tools themselves,
   * such as other agents, stay as they are.
   */
  readonly tools: <T extends Record<string, ToolLike>>(tools: T, options?: ToolOptions) => T;
  /**
   * Runs an agent with the conversation of the task, and returns how the turn ends: with its answer as the artifact
   * `answer`, or with the tool calls that wait for an approval or a result of the client.
   *
   * @throws {FatalError} if a model refuses the request, or a limit of the definition is reached
   * @throws {ParkedError} if a model has no capacity: the turn runs again later
   * @throws the error of a model that has failed otherwise: the turn runs again later
   */
  readonly run: (agent: RunnableAgent) => Promise<TurnOutcome>;
}

/** Call it once in each turn. The functions need no `this`. */
export function durable(turn: Turn): Durable {
  const calls = new Calls(turn);
  const answer = new StreamedAnswer(turn);
  return {
    model: (model) => {
      const inner = model as unknown as Parameters<typeof generate>[1];
      const { specificationVersion, provider, modelId, supportedUrls } = model;
      const wrapped = {
        specificationVersion,
        provider,
        modelId,
        supportedUrls,
        doGenerate: (options: CallOptions) => generate(calls, inner, options),
        doStream: (options: CallOptions) => stream(calls, inner, options, answer),
      };
      return wrapped as unknown as typeof model;
    },
    middleware: createMiddleware(calls, answer),
    embeddingModel: (model) => {
      const inner = model as unknown as Parameters<typeof embed>[1];
      const { specificationVersion, provider, modelId } = model;
      const wrapped = {
        ...model,
        specificationVersion,
        provider,
        modelId,
        ...readBatchLimits(model),
        doEmbed: (options: EmbedOptions) => embed(calls, inner, options),
      };
      return wrapped;
    },
    tools: (tools, options = {}) => {
      const wrapped = Object.entries(tools).map(([name, tool]) => [
        name,
        wrapTool(calls, name, tool, options),
      ]);
      return Object.fromEntries(wrapped);
    },
    run: async (agent) => {
      try {
        return await runAgent(calls, answer, agent);
      } catch (error) {
        throw toTurnError(calls, error);
      }
    },
  };
}

/** They may be getters of the model's class. */
function readBatchLimits({ maxEmbeddingsPerCall, supportsParallelCalls }: EmbeddingModelLike): object {
  return { maxEmbeddingsPerCall, supportsParallelCalls };
}
