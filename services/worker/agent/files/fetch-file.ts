/**
 * Fetches a file that a caller names by its URL, under the guard of shared/net: https on public addresses, every redirect
 * checked like the first address, bounded in size and time. Messages are for clients: a query may hold a signature, and
 * is left out.
 */
import { request, type Dispatcher } from 'undici';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import { createGuardedAgent, ForbiddenAddressError, type Resolve } from '#shared/net/guarded-agent.ts';
import { checkPublicUrl } from '#shared/net/public-url.ts';

export interface FileFetcherOptions {
  /** Hosts that may be private and may use plain http. */
  allowHosts: readonly string[];
  /** For one file, redirects included. */
  timeoutMs: number;
  maxBytes: number;
  /** Replaces the public DNS. */
  resolve?: Resolve;
}

const defaults: FileFetcherOptions = {
  allowHosts: [],
  timeoutMs: 30_000,
  maxBytes: 20 * 1024 * 1024,
};

export interface FetchedFile {
  content: Buffer;
  /** As the server names it, without parameters; undefined where it names none, or only "bytes". */
  mediaType: string | undefined;
}

export interface FileFetcher {
  /**
   * @throws {FatalError} where another attempt would not help
   * @throws {RetryableError} where it might
   */
  fetch(url: string, signal: AbortSignal): Promise<FetchedFile>;
  close(): Promise<void>;
}

const maxRedirects = 3;

export function createFileFetcher(some: Partial<FileFetcherOptions> = {}): FileFetcher {
  const options = { ...defaults, ...some };
  const agent = createGuardedAgent(options);
  return {
    fetch: async (text, signal) => {
      const timeout = AbortSignal.timeout(options.timeoutMs);
      const failed = failures(shown(text));
      try {
        return await get(text, AbortSignal.any([signal, timeout]), failed);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof FatalError || error instanceof RetryableError) throw error;
        if (timeout.aborted) throw failed.forNow(`it took longer than ${options.timeoutMs / 1000} s`);
        if (error instanceof ForbiddenAddressError) throw failed.forGood('its host is not public');
        throw failed.forNow('its host cannot be reached', error);
      }
    },
    close: () => agent.close(),
  };

  async function get(from: string, signal: AbortSignal, failed: Failures): Promise<FetchedFile> {
    let address = from;
    for (let followed = 0; followed <= maxRedirects; followed += 1) {
      const checked = checkPublicUrl(address, options.allowHosts);
      if ('problem' in checked) throw failed.forGood(checked.problem);
      const response = await request(checked.url, {
        dispatcher: agent,
        signal,
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'longhaul' },
      });
      const { statusCode, headers, body } = response;
      if (statusCode === 200) return { content: await read(response, failed), mediaType: typeIn(headers) };
      await body.dump({ limit: 64 * 1024 });
      const { location } = headers;
      if (statusCode < 300 || statusCode >= 400 || typeof location !== 'string') {
        const why = `the answer was status ${statusCode}`;
        throw statusCode >= 500 || statusCode === 429 ? failed.forNow(why) : failed.forGood(why);
      }
      if (!URL.canParse(location, checked.url.href)) throw failed.forGood('it redirects to nowhere');
      address = new URL(location, checked.url).href;
    }
    throw failed.forGood(`it redirects more than ${maxRedirects} times`);
  }

  async function read({ headers, body }: Dispatcher.ResponseData, failed: Failures): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const told = Number(headers['content-length'] ?? 0);
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (Math.max(size, told) > options.maxBytes) {
        throw failed.forGood(`it is larger than ${options.maxBytes} bytes`);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

interface Failures {
  forGood(why: string): FatalError;
  forNow(why: string, cause?: unknown): RetryableError;
}

function failures(url: string): Failures {
  const told = (why: string) => `The file ${url} could not be fetched: ${why.replace(/\.$/, '')}.`;
  return {
    forGood: (why) => new FatalError(told(why)),
    forNow: (why, cause) => new RetryableError(told(why), { cause }),
  };
}

/** A URL as it may be told: without what stands after its path. */
export function shown(url: string): string {
  if (!URL.canParse(url)) return url.slice(0, 100);
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

function typeIn(headers: Dispatcher.ResponseData['headers']): string | undefined {
  const { 'content-type': header } = headers;
  const [type = ''] = typeof header === 'string' ? header.split(';') : [];
  const essence = type.trim().toLowerCase();
  return essence === '' || essence.endsWith('/octet-stream') ? undefined : essence;
}
