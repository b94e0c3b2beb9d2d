/**
 * Follows server-sent events over broken connections. A hidden tab closes its streams and continues after the last
 * event when it is seen again: a browser has only six connections to a server without TLS, for all tabs.
 */
import { ApiError, request, restPath } from './http.ts';

export interface StreamOptions {
  path: string;
  headers?: Record<string, string>;
  /** The id after which the stream continues. */
  lastId?: string | undefined;
  signal: AbortSignal;
  onOpen?: () => void;
  onEvent: (event: { id: string | undefined; data: string }) => void;
  /** The connection broke; it is opened again after `delayMs`. */
  onBreak?: (reason: string, delayMs: number) => void;
  /** Whether to connect again after the server has ended the stream. Default: always. */
  continues?: () => boolean;
}

const longestDelayMs = 10_000;

/** Resolves when the stream has ended for good. @throws {ApiError} if the server refuses it */
export async function followStream(options: StreamOptions): Promise<void> {
  let { lastId } = options;
  for (let failures = 0; !options.signal.aborted;) {
    await whenVisible(options.signal);
    const connection = new AbortController();
    const stop = (): void => connection.abort();
    const stopIfHidden = (): void => {
      if (document.hidden) stop();
    };
    options.signal.addEventListener('abort', stop);
    document.addEventListener('visibilitychange', stopIfHidden);
    let reason = 'The stream ended.';
    try {
      const headers = {
        ...options.headers,
        accept: 'text/event-stream',
        ...(lastId !== undefined && { 'last-event-id': lastId }),
      };
      const { response, entry } = await request(restPath + options.path, {
        headers,
        signal: connection.signal,
      });
      entry.finish('(stream)');
      options.onOpen?.();
      for await (const event of readEvents(response)) {
        failures = 0;
        lastId = event.id ?? lastId;
        if (event.data !== '') options.onEvent(event);
      }
      if (options.continues?.() === false) return;
    } catch (error) {
      if (options.signal.aborted) return;
      const isFinal = error instanceof ApiError && error.status !== 0 && error.status < 500;
      if (isFinal && error.status !== 429) throw error;
      reason = (error as Error).message;
    } finally {
      options.signal.removeEventListener('abort', stop);
      document.removeEventListener('visibilitychange', stopIfHidden);
    }
    if (document.hidden) continue;
    const delayMs = Math.min(longestDelayMs, 250 * 2 ** failures++);
    options.onBreak?.(reason, delayMs);
    await sleep(delayMs, options.signal);
  }
}

/** HTML standard, section 9.2. Comments and the type of events are skipped. */
export async function* readEvents(
  response: Response,
): AsyncGenerator<{ id: string | undefined; data: string }, void, undefined> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let id: string | undefined;
  let data: string[] = [];
  for (let chunk = await reader?.read(); chunk?.done === false; chunk = await reader?.read()) {
    const lines = (rest + chunk.value).split(/\r?\n/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [, field, value = ''] = /^(id|data): ?(.*)$/.exec(line) ?? [];
      if (field === 'id') id = value;
      if (field === 'data') data.push(value);
      if (line !== '' || (id === undefined && data.length === 0)) continue;
      yield { id, data: data.join('\n') };
      data = [];
    }
  }
}

function whenVisible(signal: AbortSignal): Promise<void> {
  if (!document.hidden || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener('visibilitychange', () => resolve(), { once: true });
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
