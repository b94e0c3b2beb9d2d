/**
 * Fetches a file from a URL that a caller provides. The guard of shared/net allows only https on public
 * addresses, and redirects are checked in the same way. Size and time are limited here, the files of a turn and
 * of the whole worker in downloads.ts. Error messages are for
 * clients, so they omit the query of the URL, which may contain a signature.
 */
import { request, type Dispatcher } from 'undici';
import { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import { createGuardedAgent, ForbiddenAddressError } from '#shared/net/guarded-agent.ts';
import { checkPublicUrl } from '#shared/net/public-url.ts';
import type { Resolve } from '#shared/net/resolve.ts';

export interface FileFetcherOptions {
  /** Hosts that may be private and may use plain http. Default: none. */
  allowHosts: readonly string[];
  /** The limit for one file, including redirects. Its server may be silent for half of it. Default: 30,000. */
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
   * @param admit is called before so many further bytes are read; its error ends the fetch
   * @throws {FatalError} if another attempt cannot help
   * @throws {RetryableError} if another attempt may help
   */
  fetch(url: string, signal: AbortSignal, admit?: AdmitBytes): Promise<FetchedFile>;
  close(): Promise<void>;
}

type AdmitBytes = (bytes: number) => Promise<void>;

const maxRedirects = 3;
/** Bytes that are admitted at once if the server declares no size. */
const blockBytes = 1024 * 1024;

export function createFileFetcher(overrides: Partial<FileFetcherOptions> = {}): FileFetcher {
  const options = { ...defaults, ...overrides };
  // A server that sends nothing for this long has not received the request, or will not answer it.
  const silenceMs = options.timeoutMs / 2;
  const agent = createGuardedAgent(options);
  return {
    fetch: async (url, signal, admit = async () => undefined) => {
      const timeout = AbortSignal.timeout(options.timeoutMs);
      const errors = createErrors(redactUrl(url));
      try {
        return await get(url, AbortSignal.any([signal, timeout]), errors, admit);
      } catch (error) {
        signal.throwIfAborted();
        if (isDecided(error)) throw error;
        if (timeout.aborted) throw errors.retryable(`it took longer than ${options.timeoutMs / 1000} s`);
        if (isSilence(error)) throw errors.retryable(`its server sent nothing for ${silenceMs / 1000} s`);
        if (error instanceof ForbiddenAddressError) throw errors.fatal('its host is not public');
        throw errors.retryable('its host cannot be reached', error);
      }
    },
    close: () => agent.close(),
  };

  async function get(
    url: string,
    signal: AbortSignal,
    errors: FetchErrors,
    admit: AdmitBytes,
  ): Promise<FetchedFile> {
    let address = url;
    for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
      const checked = checkPublicUrl(address, options.allowHosts);
      if ('problem' in checked) throw errors.fatal(checked.problem);
      const response = await request(checked.url, {
        dispatcher: agent,
        signal,
        headersTimeout: silenceMs,
        bodyTimeout: silenceMs,
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'longhaul' },
      });
      const { statusCode, headers, body } = response;
      if (statusCode === 200)
        return { content: await readBody(response, errors, admit), mediaType: readType(headers) };
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

  async function readBody(
    { headers, body }: Dispatcher.ResponseData,
    errors: FetchErrors,
    admit: AdmitBytes,
  ): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const declared = Number(headers['content-length'] ?? 0);
    let size = 0;
    let admitted = declared;
    try {
      if (declared > options.maxBytes) throw errors.fatal(`it is larger than ${options.maxBytes} bytes`);
      await admit(declared);
      for await (const chunk of body as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > options.maxBytes) throw errors.fatal(`it is larger than ${options.maxBytes} bytes`);
        if (size > admitted) {
          const more = Math.max(blockBytes, chunk.length);
          await admit(more);
          admitted += more;
        }
        chunks.push(chunk);
      }
    } catch (error) {
      // The rest of the body is not read, and the stream reports that as its own error.
      body.on('error', () => undefined).destroy();
      throw error;
    }
    return Buffer.concat(chunks);
  }
}

/** The error already says what happens next. */
function isDecided(error: unknown): boolean {
  return error instanceof FatalError || error instanceof RetryableError || error instanceof ParkedError;
}

function isSilence(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT';
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
