/**
 * The calls of models and tools of one turn. The AI SDK turns every error of a tool into a message for the model, and
 * reports those of a stream as a part of it. Errors that are about the turn itself, such as a lost lease, are therefore
 * remembered: no further call starts, and `run` throws the error.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { trace } from '@opentelemetry/api';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Json } from '#shared/domain/message.ts';
import type { StepContext, StepOptions, Turn } from '#services/worker/agent/agent.ts';
import { createLimitError } from '#services/worker/turn/spending.ts';

/** The name of the tool that is executed, in whose step no other step can be. */
const executing = new AsyncLocalStorage<string>();

export class Calls {
  readonly turn: Turn;
  /** About the turn: no further call starts. */
  failure: { error: unknown } | undefined;
  /** The error of the last call of a model, until a later one succeeds. */
  modelFailure: { error: unknown } | undefined;
  readonly #limits: Partial<AgentDefinition['limits']>;
  readonly #turnSpan = trace.getActiveSpan();
  #modelCalls = 0;
  #toolCalls = 0;

  constructor(turn: Turn) {
    this.turn = turn;
    this.#limits = (turn.definition as { limits?: Partial<AgentDefinition['limits']> }).limits ?? {};
  }

  /** Runs a call of a model as a step, or returns its record. Errors of the call itself are left to the AI SDK. */
  async model(
    input: Json,
    run: (step: StepContext) => Promise<Json>,
    usage: NonNullable<StepOptions['usage']>,
  ): Promise<Json> {
    this.#modelCalls += 1;
    this.#count('model calls', this.#modelCalls, this.#limits.modelCalls);
    let ofModel: { error: unknown } | undefined;
    try {
      const result = await this.#step(
        'model',
        async (step) => {
          await this.turn.checkSpending();
          try {
            return await run(step);
          } catch (error) {
            step.signal.throwIfAborted();
            ofModel = { error };
            throw error;
          }
        },
        { input, usage, matchInput: true },
      );
      this.modelFailure = undefined;
      return result;
    } catch (error) {
      if (ofModel?.error === error) this.modelFailure = { error };
      else this.failure ??= { error };
      throw error;
    }
  }

  /** Runs a call of a tool as a step, or returns its record. Every error is about the turn. */
  async tool(
    name: string,
    input: Json,
    sideEffects: boolean,
    run: (step: StepContext) => Promise<Json>,
  ): Promise<Json> {
    this.#toolCalls += 1;
    this.#count('tool calls', this.#toolCalls, this.#limits.toolCalls);
    try {
      return await this.#step(`tool:${name}`, (step) => executing.run(name, () => run(step)), {
        input,
        sideEffects,
        matchInput: true,
      });
    } catch (error) {
      this.failure ??= { error };
      throw error;
    }
  }

  async #step(name: string, run: (step: StepContext) => Promise<Json>, options: StepOptions): Promise<Json> {
    if (this.failure !== undefined) throw this.failure.error;
    const tool = executing.getStore();
    if (tool !== undefined) {
      throw new FatalError(
        `The tool "${tool}" calls a durable model or tool itself: pass it to the agent as it is, not by tools(…).`,
      );
    }
    let hasRun = false;
    const result = await this.turn.step(
      name,
      (step) => {
        hasRun = true;
        return run(step);
      },
      options,
    );
    if (!hasRun) this.#markReplayed();
    return result;
  }

  /** The span of the AI SDK looks like that of a call: it has tokens, which were paid for in an earlier run. */
  #markReplayed(): void {
    const span = trace.getActiveSpan();
    if (span !== this.#turnSpan) span?.setAttribute('longhaul.step.replayed', true);
  }

  #count(what: string, count: number, limit: number | undefined): void {
    if (limit === undefined || count <= limit) return;
    this.failure ??= { error: createLimitError(`${limit} ${what}`) };
  }
}

/** Identifies a call by what it is asked: settings of transport are left out. */
export function createDigest(kind: string, value: unknown): string {
  const text = JSON.stringify(value, (name, item: unknown) => {
    if (item instanceof Uint8Array) return createHash('sha256').update(item).digest('base64url');
    // Mastra puts the current time there. No model reads it.
    return name === 'providerOptions' && typeof item === 'object' ? { ...item, mastra: undefined } : item;
  });
  return createHash('sha256').update(`${kind}${text}`).digest('base64url');
}

/** Aborts with any of the signals. */
export function joinSignals(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}
