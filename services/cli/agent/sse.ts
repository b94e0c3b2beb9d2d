/** Reads server-sent events (HTML standard, section 9.2) with their ids, which the client of the SDK drops. */

export interface ServerSentEvent {
  id: string | undefined;
  data: string;
}

/** Yields the events of a response. An event without data has an id only. */
export async function* readServerSentEvents(
  response: Response,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  let rest = '';
  let id: string | undefined;
  let data: string[] = [];
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [, field, value = ''] = /^(id|data): ?(.*)$/.exec(line) ?? [];
      if (field === 'id') id = value;
      if (field === 'data') data.push(value);
      if (line !== '') continue;
      if (id !== undefined || data.length > 0) yield { id, data: data.join('\n') };
      data = [];
    }
  }
}
