/**
 * Streamed responses. While a model streams, the AI SDK gets the parts of its response at once, except for what the SDK
 * acts on: the parts from the first tool call on, and the end. These wait until the response is recorded, so that no tool
 * runs for a response that another run of the turn would not know.
 *
 *   model ──parts──▶ recorder ──text, reasoning──▶ AI SDK
 *                        ├──text──▶ artifact of the task
 *                        └──▶ step recorded ──tool calls, end──▶ AI SDK
 */
import type { StreamPart } from '../types.ts';

/** Parts of the transport, which are not part of the response. */
const passing = new Set(['ping', 'raw']);

/** A response that is streamed to the AI SDK while it is recorded. */
export class LiveStream {
  readonly readable: ReadableStream<StreamPart>;
  #controller!: ReadableStreamDefaultController<StreamPart>;
  #held: StreamPart[] | undefined;
  #isOpen = true;

  /** @param onCancel called when the AI SDK stops reading */
  constructor(onCancel: (reason: unknown) => void) {
    this.readable = new ReadableStream<StreamPart>({
      start: (controller) => void (this.#controller = controller),
      cancel: (reason) => {
        this.#isOpen = false;
        onCancel(reason);
      },
    });
  }

  write(part: StreamPart): void {
    if (part.type === 'tool-call' || part.type === 'finish') this.#held ??= [];
    if (this.#held !== undefined && !passing.has(part.type)) this.#held.push(part);
    else if (this.#isOpen) this.#controller.enqueue(part);
  }

  /** Passes on the parts that have waited for the record, and ends the stream. */
  release(): void {
    if (!this.#isOpen) return;
    for (const part of this.#held ?? []) this.#controller.enqueue(part);
    this.#isOpen = false;
    this.#controller.close();
  }

  fail(error: unknown): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#controller.error(error);
  }
}

/** Reads a response to its end. @throws the error that it reports, or that breaks it */
export async function readParts(
  stream: ReadableStream<StreamPart>,
  onPart: (part: StreamPart) => void,
): Promise<StreamPart[]> {
  const parts: StreamPart[] = [];
  for await (const part of stream) {
    if (part.type === 'error') throw part['error'];
    onPart(part);
    if (!passing.has(part.type)) parts.push(part);
  }
  return joinDeltas(parts);
}

/** Returns a recorded response as a stream. */
export function replay(parts: readonly StreamPart[]): ReadableStream<StreamPart> {
  return new ReadableStream<StreamPart>({
    start: (controller) => {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
}

/** Joins the deltas of each text, so that the record of a long response is small. */
function joinDeltas(parts: readonly StreamPart[]): StreamPart[] {
  const joined: StreamPart[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    const continues =
      part.type.endsWith('-delta') &&
      last?.type === part.type &&
      last.id === part.id &&
      last['providerMetadata'] === undefined &&
      part['providerMetadata'] === undefined;
    if (continues) joined[joined.length - 1] = { ...last, delta: `${last.delta ?? ''}${part.delta ?? ''}` };
    else joined.push(part);
  }
  return joined;
}

/** Returns the text of a response. */
export function getText(parts: readonly StreamPart[]): string {
  return parts.map(({ type, delta }) => (type === 'text-delta' ? (delta ?? '') : '')).join('');
}
