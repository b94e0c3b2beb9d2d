/**
 * Fetches a file from a URL that a caller provides. The guard of shared/net allows only https on public
 * addresses, and redirects are checked in the same way. Size and time are limited. Error messages are for
 * clients, so they omit the query of the URL, which may contain a signature.
 */
import { request, type Dispatcher } from 'undici';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import { createGuardedAgent, ForbiddenAddressError, type Resolve } from '#shared/net/guarded-agent.ts';
import { checkPublicUrl } from '#shared/net/public-url.ts';

export interface FileFetcherOptions {
  /** Hosts that may be private and may use plain http. Default: none. */
  allowHosts: readonly string[];
  /** The limit for one file, including redirects. Default: 30,000. */
  timeoutMs: number;
  /** Default: 20 MiB. */
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
  /**
   * The media type that the server sent, without parameters; undefined: none, or `application/octet-stream`.
   */
  mediaType: string | undefined;
}

export interface FileFetcher {
  /**
   * @throws {FatalError} if another attempt cannot help
   * @throws {RetryableError} if another attempt may help
   */
  fetch(url: string, signal: AbortSignal): Promise<FetchedFile>;
  close(): Promise<void>;
}

const maxRedirects = 3;

export function createFileFetcher(overrides: Partial<FileFetcherOptions> = {}): FileFetcher {
  const options = { ...defaults, ...overrides };
  const agent = createGuardedAgent(options);
  return {
    fetch: async (url, signal) => {
      const timeout = AbortSignal.timeout(options.timeoutMs);
      const errors = createErrors(redactUrl(url));
      try {
        return await get(url, AbortSignal.any([signal, timeout]), errors);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof FatalError || error instanceof RetryableError) throw error;
        if (timeout.aborted) throw errors.retryable(`it took longer than ${options.timeoutMs / 1000} s`);
        if (error instanceof ForbiddenAddressError) throw errors.fatal('its host is not public');
        throw errors.retryable('its host cannot be reached', error);
      }
    },
    close: () => agent.close(),
  };

  async function get(url: string, signal: AbortSignal, errors: FetchErrors): Promise<FetchedFile> {
    let address = url;
    for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
      const checked = checkPublicUrl(address, options.allowHosts);
      if ('problem' in checked) throw errors.fatal(checked.problem);
      const response = await request(checked.url, {
        dispatcher: agent,
        signal,
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'longhaul' },
      });
      const { statusCode, headers, body } = response;
      if (statusCode === 200)
        return { content: await readBody(response, errors), mediaType: readType(headers) };
      await body.dump({ limit: 64 * 1024 });
      const { location } = headers;
      if (statusCode < 300 || statusCode >= 400 || typeof location !== 'string') {
        const reason = `the server answered with status ${statusCode}`;
        throw statusCode >= 500 || statusCode === 429 ? errors.retryable(reason) : errors.fatal(reason);
      }
      if (!URL.canParse(location, checked.url.href)) throw errors.fatal('it redirects to an invalid URL');
      address = new URL(location, checked.url).href;
    }
    throw errors.fatal(`it redirects more than ${maxRedirects} times`);
  }

  async function readBody({ headers, body }: Dispatcher.ResponseData, errors: FetchErrors): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const declared = Number(headers['content-length'] ?? 0);
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (Math.max(size, declared) > options.maxBytes) {
        throw errors.fatal(`it is larger than ${options.maxBytes} bytes`);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

interface FetchErrors {
  fatal(reason: string): FatalError;
  retryable(reason: string, cause?: unknown): RetryableError;
}

function createErrors(url: string): FetchErrors {
  const toMessage = (reason: string) => `The file ${url} could not be fetched: ${reason.replace(/\.$/, '')}.`;
  return {
    fatal: (reason) => new FatalError(toMessage(reason)),
    retryable: (reason, cause) => new RetryableError(toMessage(reason), { cause }),
  };
}

/** Returns a URL without its credentials, query and fragment, for messages. */
export function redactUrl(url: string): string {
  if (!URL.canParse(url)) return url.slice(0, 100);
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

function readType(headers: Dispatcher.ResponseData['headers']): string | undefined {
  const { 'content-type': header } = headers;
  const [type = ''] = typeof header === 'string' ? header.split(';') : [];
  const essence = type.trim().toLowerCase();
  return essence === '' || essence.endsWith('/octet-stream') ? undefined : essence;
}
