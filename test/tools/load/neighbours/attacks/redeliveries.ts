import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { receiverHost } from '../owners.ts';
import { attempt, createSend, getTaskId, repeatInParallel, type Attack } from './attack.ts';

/** Events: submitted, working, the artifact, completed. The last one's webhook carries the whole task. */
const lastEvent = 4;

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
      const send = createSend('artifacts 1 1000000', { configuration: { returnImmediately: false } });
      const taskId = getTaskId(await attempt(target, signal, () => client.call('SendMessage', send, signal)));
      await repeatInParallel(4, signal, async (loop) => {
        const config = { taskId, id: `hook-${loop}`, url };
        const create = () => client.call('CreateTaskPushNotificationConfig', config, signal);
        await attempt(target, signal, create);
        const path = `/a2a/v1/tasks/${taskId}/webhooks/${config.id}/deliveries/${lastEvent}/redeliver`;
        for (let n = 0; n < 3; n++) await attempt(target, signal, () => client.post(path, '{}', signal));
      });
      server.closeAllConnections();
    };
  },
};
