/** Admits and starts the calls of a gRPC server a few at a time. Connections take turns. */
import {
  constants,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { FairStarts } from '../../limits/fair-starts.ts';
import { countRefusal } from '../../limits/refusals.ts';
import type { AdmitCall } from './call-admission.ts';

const perIteration = 8;
/** Calls that wait for their start. Each may have 64 KB in memory. */
const maxWaiting = 2_000;

/** Wraps the listeners that the server has now. They get the calls that `admit` passes on. */
export function boundCallStarts(server: Http2Server, admit: AdmitCall): void {
  const listeners = server.listeners('stream');
  const starts = new FairStarts<Http2Session | undefined>({ perIteration, maxWaiting });
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => {
    // A call may fail before it has started.
    stream.on('error', ignore);
    const receivedAt = performance.now();
    starts.add(stream.session, {
      start: () => {
        if (stream.destroyed || stream.closed) return;
        void admit(stream, headers, receivedAt, () => {
          for (const listener of listeners) Reflect.apply(listener, server, [stream, headers, ...rest]);
        });
      },
      refuse: () => {
        countRefusal('receiving');
        // The client may send it again (RFC 9113, section 8.7).
        stream.close(constants.NGHTTP2_REFUSED_STREAM);
      },
    });
  });
}

function ignore(): void {}
