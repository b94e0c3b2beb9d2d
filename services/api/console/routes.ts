/**
 * Serves the console (docs/use/console.md): one page for all paths below `/console`, and its scripts and styles. They contain
 * nothing of any caller, so they need no credentials; the page calls the public API with those of its user.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { HttpRequestError, UnavailableError } from '../handler/errors.ts';
import { matchesEntityTag } from '../http/conditional.ts';
import { plainFailure, sendFailure } from '../http/failure.ts';
import { addVary } from '../http/headers.ts';
import type { ConsoleFiles, ReadConsole } from './files.ts';
import { consolePath } from './path.ts';

export interface ConsoleRoutesParts {
  readFiles: ReadConsole;
  publicUrl: string;
  /** The address of a task's traces, with `{taskId}` in it. Undefined: the page has no link to them. */
  traceUrl: string | undefined;
  log: Logger;
}

/** Nothing inline, nothing from elsewhere, and HTML only through the policy of DOMPurify. Images are read by script. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types dompurify',
].join('; ');

/** Names of files, not paths of the page: a page in place of a script would hide that it is missing. */
const fileName = /\.(?:js|mjs|css|map|json|svg|png|webp|ico|txt|html|woff2?)$/i;

/** After the start. */
const warmUpMs = 1_000;

const types: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

export function registerConsole(
  app: FastifyInstance,
  { readFiles, publicUrl, traceUrl = '', log }: ConsoleRoutesParts,
): void {
  // The first visitor does not wait for the build, and the start of the service does not either.
  app.addHook('onReady', (done) => {
    setTimeout(() => void readFiles().catch(() => undefined), warmUpMs).unref();
    done();
  });
  const base = new URL(publicUrl).pathname.replace(/\/$/, '');
  const compress = createCompress();

  for (const url of [consolePath, `${consolePath}/*`]) {
    app.route({
      method: 'GET',
      url,
      handler: async (request, reply) => {
        const name = new URL(request.url, publicUrl).pathname.replace(/.*\//, '');
        return fileName.test(name) ? refuse(reply, name) : sendPage(request, reply);
      },
    });
  }
  app.get<{ Params: { name: string } }>(`${consolePath}/assets/:name`, async (request, reply) => {
    const { name } = request.params;
    const files = await read(reply);
    if (files === undefined) return reply;
    const content = files.assets.get(name);
    if (content === undefined) return refuse(reply, name);
    void reply
      .header('cache-control', 'public, max-age=31536000, immutable')
      .header('content-type', types[name.replace(/.*\./, '')] ?? 'application/octet-stream');
    return compress(request, reply, content);
  });

  function refuse(reply: FastifyReply, name: string): FastifyReply {
    const error = new HttpRequestError(404, `${name} is not a file of the console: reload the page`);
    return sendFailure(reply, log, error, plainFailure);
  }

  async function sendPage(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const files = await read(reply);
    if (files === undefined) return reply;
    const html = Buffer.from(
      files.html.replaceAll('{{base}}', base).replaceAll('{{traceUrl}}', () => escapeAttribute(traceUrl)),
    );
    // Weak: the tag is that of all encodings.
    const etag = `W/"${createHash('sha256').update(html).digest('base64url')}"`;
    void reply.headers({
      etag,
      'cache-control': 'no-cache',
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': contentSecurityPolicy,
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    });
    const { 'if-none-match': ifNoneMatch } = request.headers;
    const known = ifNoneMatch !== undefined && matchesEntityTag(ifNoneMatch, etag.slice(2));
    return known ? reply.code(304).send() : compress(request, reply, html);
  }

  /** Returns undefined after it has answered that the files are not there. */
  async function read(reply: FastifyReply): Promise<ConsoleFiles | undefined> {
    try {
      return await readFiles();
    } catch (error) {
      log.error({ error: errorMessage(error) }, 'the console cannot be built');
      sendFailure(
        reply,
        log,
        new UnavailableError('The console cannot be built: install the development dependencies (npm ci)'),
        plainFailure,
      );
      return undefined;
    }
  }
}

/** For a value in double quotes. */
function escapeAttribute(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
}

/** Returns a function that sends content in the best encoding of the client. Each encoding is made once. */
function createCompress(): (
  request: FastifyRequest,
  reply: FastifyReply,
  content: Uint8Array,
) => Promise<FastifyReply> {
  const made = new WeakMap<Uint8Array, Map<string, Promise<Uint8Array>>>();
  const encoders: Readonly<Record<string, (content: Uint8Array) => Promise<Uint8Array>>> = {
    br: (content) => promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
    gzip: (content) => promisify(gzip)(content, { level: 9 }),
  };
  return async (request, reply, content) => {
    addVary(reply, 'accept-encoding');
    const accepted = request.headers['accept-encoding']?.toString() ?? '';
    const name = Object.keys(encoders).find((encoding) => new RegExp(`\\b${encoding}\\b`).test(accepted));
    const encode = name === undefined ? undefined : encoders[name];
    if (name === undefined || encode === undefined) return reply.send(content);
    const known = made.get(content) ?? new Map<string, Promise<Uint8Array>>();
    made.set(content, known);
    const encoded = known.get(name) ?? encode(content);
    known.set(name, encoded);
    return reply.header('content-encoding', name).send(await encoded);
  };
}
