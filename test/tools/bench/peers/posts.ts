/**
 * The floor of webhooks: one process sends the same number of signed POSTs to the same receiver, over kept connections,
 * without a database and without anything that would survive a crash.
 */
import { createHmac } from 'node:crypto';
import { Pool } from 'undici';
import { serveParent } from '../serve-parent.ts';

const body = JSON.stringify({
  statusUpdate: { taskId: 'x'.repeat(36), contextId: 'x'.repeat(36), status: 'x'.repeat(120) },
});

serveParent(async ({ url, count, connections }: { url: string; count: number; connections: number }) => {
  const pool = new Pool(url, { connections });
  const from = performance.now();
  let sent = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (sent++ < count) {
        const signature = createHmac('sha256', 'secret').update(`${sent}.${body}`).digest('base64');
        const headers = { 'content-type': 'application/json', 'webhook-signature': `v1,${signature}` };
        const response = await pool.request({ method: 'POST', path: '/webhook', headers, body });
        await response.body.dump();
      }
    }),
  );
  const perSecond = (count * 1000) / (performance.now() - from);
  await pool.close();
  return { perSecond };
});
