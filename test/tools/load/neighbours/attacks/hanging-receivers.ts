/** Many tasks with webhooks: to receivers that never answer, or, for comparison, to one that does. */
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { hangingHost } from '../owners.ts';
import { attempt, createSend, pause, type Attack, type Target } from './attack.ts';

const ports = 51;
const webhooksPerSecond = 50;

export const hangingReceivers: Attack = {
  title: 'webhooks to receivers that hang, on 51 ports of one host, 50 a second',
  prepare: async (target) => {
    const open = new Set<Socket>();
    const servers = Array.from({ length: ports }, () =>
      createServer((socket) => {
        open.add(socket);
        target.counts.max('requests held at once', open.size);
        socket
          .on('error', () => undefined)
          .once('close', () => open.delete(socket))
          .resume();
      }),
    );
    const run = await prepareTasks(target, servers);
    return async (signal) => {
      await run(signal);
      for (const socket of open) socket.destroy();
    };
  },
};

export const answeringReceiver: Attack = {
  title: 'nothing wrong: 50 tasks a second with webhooks, which are accepted',
  prepare: (target) =>
    prepareTasks(target, [
      createHttpServer((request, response) => {
        target.counts.add('webhooks received');
        request.resume().once('end', () => response.writeHead(204).end());
      }),
    ]),
};

/** Starts tasks, each with a webhook to the next server. */
async function prepareTasks(
  target: Target,
  servers: readonly Server[],
): Promise<(signal: AbortSignal) => Promise<void>> {
  await Promise.all(servers.map((server) => once(server.listen(0, hangingHost), 'listening')));
  const urls = servers.map((server) => `http://${hangingHost}:${(server.address() as AddressInfo).port}/`);
  return async (signal) => {
    for (let n = 0; !signal.aborted; n++) {
      const taskPushNotificationConfig = { id: 'hook', url: urls[n % urls.length] };
      const send = createSend('say hello', { configuration: { taskPushNotificationConfig } });
      void attempt(target, signal, () => target.client.call('SendMessage', send, signal));
      await pause(1000 / webhooksPerSecond, signal);
    }
  };
}
