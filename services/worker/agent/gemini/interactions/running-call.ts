/** A call that runs at Google: polled, followed and canceled. */
import { ApiError, type GoogleGenAI } from '@google/genai';
import { isGoogleAgent } from '#shared/agent/model-api.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { ModelWait } from '../../model-wait.ts';
import type { Budget } from '../budget.ts';
import type { AnswerArtifact } from '../conversation/answer-artifact.ts';
import { toModelFailure } from '../model/failure.ts';
import { cancelInteraction, getInteraction, streamInteraction, type OpenedStream } from './client.ts';
import { followStream } from './follow.ts';
import { hasEnded, type EndedCall } from './response.ts';
import { StreamedReply } from './streamed-reply.ts';

/** A stream that is silent for this long releases its slot until the next poll. */
const quietMs = 30_000;

export interface RunningCallParts {
  client: GoogleGenAI;
  model: string;
  budget: Budget;
  wait: ModelWait;
  /** Undefined: the text is not streamed. */
  answer: AnswerArtifact | undefined;
  /** The signal of the turn. */
  signal: AbortSignal;
}

export class RunningCall {
  readonly #id: string;
  readonly #parts: RunningCallParts;
  /** The stream that the creation has opened. */
  #opened: OpenedStream | undefined;
  #reply: StreamedReply | undefined;

  constructor(id: string, opened: OpenedStream | undefined, parts: RunningCallParts) {
    this.#id = id;
    this.#opened = opened;
    this.#parts = parts;
  }

  /**
   * Waits for its end, and returns the call as it is then; undefined if an earlier run has seen the end. A call that
   * reaches its limit is canceled, which is an end too.
   *
   * @throws {FatalError} if it is gone
   */
  async ended(): Promise<EndedCall | undefined> {
    const { wait, answer, budget } = this.#parts;
    let ended: EndedCall | undefined;
    const poll = async (ageSeconds: number): Promise<boolean> => {
      const limit = budget.findBackgroundLimit(ageSeconds);
      if (limit === undefined && answer !== undefined) await this.#follow(answer);
      ended = limit === undefined ? await this.#read() : await this.#cancel(limit);
      if (ended !== undefined) await this.#reply?.close();
      return ended !== undefined;
    };
    try {
      await wait.ended(poll, { limitSeconds: budget.backgroundSeconds });
    } finally {
      this.#opened?.close();
    }
    return ended;
  }

  /** @throws {FatalError} if the interaction is gone */
  async get(): Promise<EndedCall> {
    const { client, model, signal } = this.#parts;
    try {
      return { interaction: await getInteraction(client, this.#id, signal) };
    } catch (error) {
      signal.throwIfAborted();
      if (isGone(error)) throw this.#toGoneError(error);
      const failure = toModelFailure(error, { model, status: null, retryAfter: null });
      if (failure.kind === 'fatal') throw new FatalError(failure.message, { cause: error });
      throw error;
    }
  }

  /** Cancels another call that was made for the same reply. If that fails, it runs on and is paid for. */
  async cancelOther(id: string): Promise<void> {
    const { client, signal } = this.#parts;
    await cancelInteraction(client, id, signal).catch(() => signal.throwIfAborted());
  }

  /** Returns the call as it is after the cancellation: it may have ended just before. */
  async #cancel(limit: string): Promise<EndedCall> {
    const { client, signal } = this.#parts;
    try {
      const interaction = await cancelInteraction(client, this.#id, signal);
      return {
        interaction: hasEnded(interaction) ? interaction : { ...interaction, status: 'cancelled' },
        limit,
      };
    } catch (error) {
      signal.throwIfAborted();
      if (isGone(error)) throw this.#toGoneError(error);
      throw error;
    }
  }

  /** Reads the stream until the call has ended, or the stream is quiet. */
  async #follow(answer: AnswerArtifact): Promise<void> {
    const { client, wait, signal } = this.#parts;
    const reply = (this.#reply ??= await StreamedReply.open(wait, answer));
    const open = async (after: string | undefined, bounded: AbortSignal): Promise<OpenedStream> => {
      const opened = this.#opened;
      this.#opened = undefined;
      return opened ?? streamInteraction(client, this.#id, after, bounded);
    };
    try {
      await followStream(open, reply, { after: reply.after, signal, quietMs });
      await reply.flush();
    } catch (error) {
      if (isGone(error)) throw this.#toGoneError(error);
      throw error;
    }
  }

  /** Returns the call once it has ended; undefined if it runs, or if Google cannot be asked now. */
  async #read(): Promise<EndedCall | undefined> {
    const { signal } = this.#parts;
    try {
      const call = await this.get();
      return hasEnded(call.interaction) ? call : undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FatalError) throw error;
      return undefined;
    }
  }

  #toGoneError(cause: unknown): FatalError {
    const { model } = this.#parts;
    const what = isGoogleAgent(model) ? 'agent' : 'model';
    return new FatalError(`The call of the ${what} "${model}" is gone: Google no longer has it.`, { cause });
  }
}

export function isGone(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}
