/**
 * A receiver of webhooks: verifies each request, reports it, and answers as a receiver should (docs/use/webhooks.md). `GET` with
 * the query `task` answers how many webhooks of a task were verified, and whether its result was among them; nothing else of
 * what it received can be read over the network.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { verify, WebhookError, type VerifyOptions, type WebhookEvent } from '../../../sdk/webhooks.ts';
import { Tally } from './tally.ts';

const maxBodyBytes = 16 * 1024 * 1024;
const requestTimeoutMs = 30_000;

export type Received =
  | { event: WebhookEvent; problem?: undefined }
  /** Why the request was refused. */
  | { problem: string; event?: undefined };

/** @param report is called for each request with a body, before it is answered */
export function createReceiver(options: VerifyOptions, report: (received: Received) => void): Server {
  const tally = new Tally();
  return createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    void answer(request, response).catch((error: unknown) => {
      report({ problem: error instanceof Error ? error.message : String(error) });
      send(response, 500, { problem: 'The request cannot be verified at the moment.' });
    });
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET') {
      const task = new URL(request.url ?? '/', 'http://receiver').searchParams.get('task');
      send(response, 200, task === null ? { receives: 'webhooks' } : { task, ...tally.get(task) });
      return;
    }
    if (request.method !== 'POST') {
      send(response, 405, { problem: 'Expected POST with a webhook, or GET with the query task.' });
      return;
    }
    const body = await readBody(request);
    try {
      if (body === undefined) {
        throw new WebhookError('too_large', `The body is larger than ${maxBodyBytes} bytes.`);
      }
      const event = await verify({ headers: request.headers, body }, options);
      if (!event.test) tally.add(event.taskId, event.type === 'task' || event.type === 'v0.3');
      report({ event });
      response.writeHead(204).end();
    } catch (error) {
      if (!(error instanceof WebhookError)) throw error;
      report({ problem: error.message });
      send(response, error.status, { problem: error.message });
    }
  }
}

/** @returns undefined if the body is too large: it is not read further */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) return undefined;
  let bytes = 0;
  async function* read(): AsyncGenerator<Buffer> {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBodyBytes) return;
      yield chunk;
    }
  }
  const body = await buffer(read());
  return bytes > maxBodyBytes ? undefined : body;
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return;
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}
