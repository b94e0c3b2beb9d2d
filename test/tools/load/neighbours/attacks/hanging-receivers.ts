import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { hangingHost } from '../owners.ts';
import { attempt, createSend, pause, type Attack } from './attack.ts';

const ports = 51;
const webhooksPerSecond = 50;

export const hangingReceivers: Attack = {
  title: 'webhooks to receivers that hang, on 51 ports of one host, 50 a second',
  prepare: async (target) => {
    const { client, counts } = target;
    const open = new Set<Socket>();
    const servers = Array.from({ length: ports }, () =>
      createServer((socket) => {
        open.add(socket);
        counts.max('requests held at once', open.size);
        socket
          .on('error', () => undefined)
          .once('close', () => open.delete(socket))
          .resume();
      }).listen(0, hangingHost),
    );
    await Promise.all(servers.map((server) => once(server, 'listening')));
    return async (signal) => {
      for (let n = 0; !signal.aborted; n++) {
        const { port } = servers[n % ports]!.address() as AddressInfo;
        const taskPushNotificationConfig = { id: 'hook', url: `http://${hangingHost}:${port}/` };
        const send = createSend('say hello', { configuration: { taskPushNotificationConfig } });
        void attempt(target, signal, () => client.call('SendMessage', send, signal));
        await pause(1000 / webhooksPerSecond, signal);
      }
      for (const socket of open) socket.destroy();
    };
  },
};
