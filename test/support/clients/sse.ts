/** Reads server-sent events as they arrive. */

import type { AnyJson } from './any-json.ts';

export interface SseEvent {
  /** The `id` field; undefined: the event has none. */
  id: number | undefined;
  data: AnyJson;
}

/** Yields every event that has data, parsed as JSON. Comments are skipped. */
export async function* readSse(response: Response): AsyncGenerator<SseEvent, void, undefined> {
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      const id = /^id: (\d+)$/m.exec(block)?.[1];
      if (data !== undefined) yield { id: id === undefined ? undefined : Number(id), data: JSON.parse(data) };
    }
  }
}

export function isEventStream(response: Response): boolean {
  return (response.headers.get('content-type') ?? '').includes('event-stream');
}
