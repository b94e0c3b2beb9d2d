import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { receiverHost } from '../owners.ts';
import { attempt, createSend, getTaskId, pause, repeatInParallel, type Attack } from './attack.ts';

export const redeliveries: Attack = {
  title:
    'webhooks of 1 MB to a host that answers 404: configs are created and events redelivered in four loops',
  prepare: async (target) => {
    const { client, counts } = target;
    const server = createServer((request, response) => {
      counts.add('webhooks received');
      request.on('data', (chunk: Buffer) => counts.add('bytes received', chunk.length));
      request.on('end', () => response.writeHead(404).end());
    });
    server.listen(0, receiverHost);
    await once(server, 'listening');
    const url = `http://${receiverHost}:${(server.address() as AddressInfo).port}/`;
    return async (signal) => {
      const send = createSend('artifacts 1 1000000');
      const taskId = getTaskId(await attempt(target, signal, () => client.call('SendMessage', send, signal)));
      await pause(2000, signal);
      await repeatInParallel(4, signal, async (loop) => {
        const config = { taskId, id: `hook-${loop}`, url };
        const create = () => client.call('CreateTaskPushNotificationConfig', config, signal);
        await attempt(target, signal, create);
        const body = JSON.stringify({ since: new Date(Date.now() - 3_600_000).toISOString() });
        await attempt(target, signal, () =>
          client.post(`/a2a/rest/tasks/${taskId}/webhooks/${config.id}/redeliver`, body, signal),
        );
      });
      server.closeAllConnections();
    };
  },
};
