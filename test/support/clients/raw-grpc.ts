/** gRPC calls on bare HTTP/2 streams, which can be left half-sent and unread. */
import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import { SendMessageRequest } from '@a2a-js/sdk';
import { LegacyA2AService } from '@a2a-js/sdk/compat/v0_3/server/grpc';
import { A2AService } from '@a2a-js/sdk/server/grpc';
import type { Cleanup } from '../cleanup.ts';

export interface HalfCall {
  readonly stream: ClientHttp2Stream;
  /** Resolves when the server has closed the stream, to the status that it sent. */
  readonly closed: Promise<{ status: number | undefined; message: string; retryAfter: unknown }>;
}

export function connectGrpc(t: Cleanup, target: string): ClientHttp2Session {
  // Without a limit of its own: the server's limits are tested.
  const session = connect(`http://${target}`, { maxSendHeaderBlockLength: 2 ** 24 });
  session.on('error', () => undefined);
  t.after(() => session.destroy());
  return session;
}

/**
 * Starts a call and does not end it.
 *
 * @param method a method of A2A 1.0, or the path of another
 */
export function startCall(
  session: ClientHttp2Session,
  method: string,
  headers: Record<string, string> = {},
): HalfCall {
  const stream = session.request(
    {
      ':method': 'POST',
      ':path': method.startsWith('/') ? method : `/lf.a2a.v1.A2AService/${method}`,
      'content-type': 'application/grpc',
      'a2a-version': '1.0',
      te: 'trailers',
      ...headers,
    },
    { endStream: false },
  );
  let received: IncomingHttpHeaders = {};
  for (const event of ['response', 'trailers']) {
    stream.on(event, (more: IncomingHttpHeaders) => (received = { ...received, ...more }));
  }
  stream.on('error', () => undefined);
  stream.resume();
  const closed = new Promise<void>((resolve) => void stream.once('close', resolve)).then(() => {
    const status = received['grpc-status'];
    return {
      status: status === undefined ? undefined : Number(status),
      message: decodeURIComponent(String(received['grpc-message'] ?? '')),
      retryAfter: received['retry-after'],
    };
  });
  return { stream, closed };
}

/** Returns the frame of a SendMessage whose only part is a list of so many empty objects. */
export function encodeLargeSend(objects: number): Buffer {
  const message = {
    messageId: 'large',
    role: 'ROLE_USER',
    parts: [{ data: Array.from({ length: objects }, () => ({})) }],
  };
  return toFrame(A2AService.sendMessage.requestSerialize(SendMessageRequest.fromJSON({ message })));
}

/** The same for A2A 0.3, with the objects in the metadata of the request. */
export function encodeLargeV03Send(objects: number): Buffer {
  const metadata = { a: Array.from({ length: objects }, () => ({})) };
  return toFrame(
    LegacyA2AService.sendMessage.requestSerialize({ request: undefined, configuration: undefined, metadata }),
  );
}

function toFrame(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
