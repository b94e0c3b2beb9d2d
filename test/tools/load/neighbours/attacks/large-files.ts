import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileHost } from '../owners.ts';
import { attempt, createSend, pause, type Attack } from './attack.ts';

const file = Buffer.alloc(19_000_000, 'file');
const parts = 45;

export const largeFiles: Attack = {
  title: 'a message with 45 files of 19 MB by URL, every 4 s',
  prepare: async (target) => {
    const { client, counts } = target;
    const server = createServer((_request, response) => {
      counts.add('downloads');
      response.writeHead(200, { 'content-type': 'image/png', 'content-length': file.length }).end(file);
    });
    server.listen(0, fileHost);
    await once(server, 'listening');
    const url = `http://${fileHost}:${(server.address() as AddressInfo).port}`;
    return async (signal) => {
      while (!signal.aborted) {
        const files = Array.from({ length: parts }, (_, n) => ({
          url: `${url}/${n}.png`,
          mediaType: 'image/png',
        }));
        const message = { parts: [{ text: 'model: describe the pictures' }, ...files] };
        await attempt(target, signal, () => client.call('SendMessage', createSend('', { message }), signal));
        await pause(4000, signal);
      }
      server.closeAllConnections();
    };
  },
};
