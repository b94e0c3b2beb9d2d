import { connect } from 'node:net';
import { pause, repeatInParallel, type Attack, type CountMap } from './attack.ts';

const batch = 10;

/** Requests are pipelined in batches over plain sockets: a client costs more than the answers. */
export const wrongKeys: Attack = {
  title: 'wrong API keys in eight loops and readiness probes in two, each up to 1,000 a second',
  prepare: async ({ apiUrl, counts }) => {
    const { host } = new URL(apiUrl);
    const body = '{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"x"}}';
    const post =
      `POST /a2a/jsonrpc HTTP/1.1\r\nhost: ${host}\r\nx-api-key: wrong\r\ncontent-type: application/json\r\n` +
      `a2a-version: 1.0\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const probe = `GET /health/ready HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
    return (signal) =>
      repeatInParallel(10, signal, (loop) =>
        loop < 8
          ? flood(apiUrl, post, 'wrong keys', counts, signal)
          : flood(apiUrl, probe, 'probes', counts, signal),
      );
  },
};

/** Sends batches over one connection until it is closed. */
async function flood(
  apiUrl: string,
  request: string,
  name: string,
  counts: CountMap,
  signal: AbortSignal,
): Promise<void> {
  const { hostname, port } = new URL(apiUrl);
  const socket = connect(Number(port), hostname).setEncoding('latin1').setNoDelay(true);
  const requests = request.repeat(batch);
  const stop = () => socket.destroy();
  signal.addEventListener('abort', stop, { once: true });
  let missing = batch;
  socket.on('connect', () => socket.write(requests));
  socket.on('data', (chunk: string) => {
    const answers = chunk.split('HTTP/1.1 ').slice(1);
    missing -= answers.length;
    counts.add(name, answers.length);
    counts.add('refused with 429', answers.filter((answer) => answer.startsWith('429')).length);
    if (missing > 0) return;
    missing = batch;
    void pause(batch, signal).then(() => socket.write(requests));
  });
  await new Promise<void>((resolve) => {
    socket.on('error', () => undefined).once('close', () => resolve());
  });
  signal.removeEventListener('abort', stop);
  await pause(50, signal);
}
