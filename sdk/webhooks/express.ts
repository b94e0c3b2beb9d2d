/** Receives webhooks with Express, and with any framework that uses Node's requests and `next`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { WebhookError } from './error.ts';
import {
  defaultMaxBodyBytes,
  receive,
  toAnswer,
  type ReceiverAnswer,
  type ReceiverOptions,
} from './receive.ts';

export type ExpressHandler = (
  request: IncomingMessage & { body?: unknown },
  response: ServerResponse,
  next: (error?: unknown) => void,
) => Promise<void>;

/**
 * Creates a handler that reads the raw body by itself, of every content type:
 * `app.post('/hook', expressWebhook({ secret, onEvent }))`. It calls `next` with errors of `onEvent`, for which Express
 * answers 500, and with an error if a parser such as `express.json()` has read the body before.
 */
export function expressWebhook(options: ReceiverOptions): ExpressHandler {
  return async (request, response, next) => {
    let answer: ReceiverAnswer;
    try {
      const body = await readRawBody(request, options.maxBodyBytes ?? defaultMaxBodyBytes);
      answer = await receive({ headers: request.headers, body }, options);
    } catch (error) {
      if (!(error instanceof WebhookError)) return next(error);
      answer = toAnswer(error);
    }
    const { status, problem } = answer;
    if (!request.complete) response.setHeader('connection', 'close');
    if (problem === undefined) response.writeHead(status).end();
    else
      response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: problem }));
  };
}

async function readRawBody(
  request: IncomingMessage & { body?: unknown },
  maxBytes: number,
): Promise<string | Uint8Array> {
  const { body } = request;
  if (typeof body === 'string' || body instanceof Uint8Array) return body;
  if (request.readableDidRead) {
    throw new TypeError(
      'The body was already parsed: register the webhook before parsers such as express.json().',
    );
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new WebhookError('too_large', `The body is larger than ${maxBytes} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
