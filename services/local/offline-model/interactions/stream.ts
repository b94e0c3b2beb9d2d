/**
 * The stream of an interaction (ai.google.dev/gemini-api/docs/interactions/streaming, 2026-06-22; types of @google/genai
 * 3.1): server-sent events, each with an id after which a client can continue by `GET …?stream=true&last_event_id=…`.
 *
 *   interaction.created ─▶ interaction.status_update ─▶ step.start ─▶ step.delta … ─▶ step.stop ─▶ … ─▶ interaction.completed
 */
import type { Part } from '@google/genai';
import { GoogleError } from '../google-error.ts';
import { toOutputSteps, type WireStep } from './wire.ts';

export interface StreamEvent {
  event_type: string;
  event_id: string;
  [field: string]: unknown;
}

/** The events so far, for any number of readers. */
export class EventLog {
  readonly #events: StreamEvent[] = [];
  #ended = false;
  #changed = Promise.withResolvers<void>();

  append(type: string, fields: object): void {
    const id = Buffer.from(`event-${this.#events.length + 1}`).toString('base64url');
    this.#events.push({ event_type: type, ...fields, event_id: id });
    this.#notify();
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /**
   * Returns the events after one, as they come.
   *
   * @throws {GoogleError} 400 if the stream has no such event
   */
  read(after: string | undefined): AsyncGenerator<StreamEvent> {
    const index = after === undefined ? -1 : this.#events.findIndex(({ event_id }) => event_id === after);
    if (after !== undefined && index === -1) {
      throw new GoogleError(400, { message: `last_event_id ${after} is not an event of this interaction.` });
    }
    return this.#readFrom(index + 1);
  }

  async *#readFrom(start: number): AsyncGenerator<StreamEvent> {
    for (let next = start; ;) {
      const event = this.#events[next];
      if (event !== undefined) {
        next += 1;
        yield event;
      } else if (this.#ended) {
        return;
      } else {
        await this.#changed.promise;
      }
    }
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Writes the pieces of a reply to the log of its interaction. Adjacent pieces of one kind are deltas of one step. */
export class PieceWriter {
  readonly #log: EventLog;
  #index = -1;
  #open: WireStep['type'] | undefined;

  constructor(log: EventLog) {
    this.#log = log;
  }

  write(piece: Part): void {
    for (const step of toOutputSteps([piece])) {
      if (step.type !== this.#open || step.type === 'function_call') this.#start(step);
      for (const delta of toDeltas(step)) {
        this.#log.append('step.delta', { index: this.#index, delta });
      }
    }
  }

  /** Writes a step that comes whole. */
  writeStep(step: WireStep): void {
    this.stop();
    this.#index += 1;
    this.#log.append('step.start', { index: this.#index, step });
    this.#log.append('step.stop', { index: this.#index });
  }

  stop(): void {
    if (this.#open !== undefined) this.#log.append('step.stop', { index: this.#index });
    this.#open = undefined;
  }

  #start(step: WireStep): void {
    this.stop();
    this.#index += 1;
    this.#open = step.type;
    const head =
      step.type === 'function_call'
        ? { type: step.type, id: step.id, name: step.name, arguments: {} }
        : { type: step.type };
    this.#log.append('step.start', { index: this.#index, step: head });
  }
}

function toDeltas(step: WireStep): object[] {
  switch (step.type) {
    case 'model_output':
      return (step.content ?? []).map(({ type, ...content }) => ({ type, ...content }));
    case 'thought':
      return [
        ...(step.summary ?? []).map((content) => ({ type: 'thought_summary', content })),
        ...(step.signature === undefined ? [] : [{ type: 'thought_signature', signature: step.signature }]),
      ];
    case 'function_call':
      return [{ type: 'arguments_delta', arguments: JSON.stringify(step.arguments) }];
    case 'user_input':
    case 'function_result':
    case 'google_search_call':
    case 'google_search_result':
    case 'mcp_server_tool_call':
    case 'mcp_server_tool_result':
      return [];
    default:
      return step satisfies never;
  }
}
