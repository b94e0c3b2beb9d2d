/**
 * A server that records requests to Gemini exactly as they are sent, and answers with recorded events. It
 * also issues access tokens, so that the Vertex AI client has credentials without an account: it uses a workload identity
 * whose token service is this server.
 */
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { json } from 'node:stream/consumers';

export interface RecordedRequest {
  method: string;
  path: string;
  /** Only the headers that matter to Google. */
  headers: Record<string, string>;
  body: unknown;
}

export interface GeminiRecorder {
  readonly url: string;
  readonly requests: RecordedRequest[];
  /** Queues the events of the next responses, one list for each. */
  answer(responses: readonly (readonly object[])[]): void;
  /** Writes a file for `GOOGLE_APPLICATION_CREDENTIALS` into a directory, and returns its path. */
  credentials(directory: string): Promise<string>;
  close(): Promise<void>;
}

const recordedHeaders = ['content-type', 'x-goog-api-key', 'authorization', 'x-goog-user-project'];

export async function startGeminiRecorder(): Promise<GeminiRecorder> {
  const requests: RecordedRequest[] = [];
  const queued: (readonly object[])[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      if (request.url === '/token') {
        response.setHeader('content-type', 'application/json');
        return response.end(
          JSON.stringify({
            access_token: 'access-token',
            issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
            token_type: 'Bearer',
            expires_in: 3600,
          }),
        );
      }
      requests.push(await record(request));
      response.setHeader('content-type', 'text/event-stream');
      for (const event of queued.shift() ?? []) response.write(`data: ${JSON.stringify(event)}\r\n\r\n`);
      return response.end();
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    requests,
    answer: (responses) => queued.push(...responses),
    credentials: async (directory) => {
      const file = path.join(directory, 'credentials.json');
      const subject = path.join(directory, 'subject-token');
      await writeFile(subject, 'subject-token');
      await writeFile(
        file,
        JSON.stringify({
          type: 'external_account',
          audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p',
          subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
          token_url: `${url}/token`,
          credential_source: { file: subject },
        }),
      );
      return file;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function record(request: IncomingMessage): Promise<RecordedRequest> {
  const { method = '', url = '', headers } = request;
  const recorded = recordedHeaders.flatMap((name) =>
    headers[name] === undefined ? [] : [[name, String(headers[name])]],
  );
  return {
    method,
    path: url,
    headers: Object.fromEntries(recorded) as Record<string, string>,
    body: await json(request),
  };
}
