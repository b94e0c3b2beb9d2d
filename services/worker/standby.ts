/**
 * A worker that is started before it is needed, so that a change of an agent in development takes effect at once. It loads
 * the code of the worker, and runs when its parent sends the environment. Until then it has no agent and no connections.
 */
import { once } from 'node:events';
import { preparePubSub } from '#shared/gcp/pubsub.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { listen } from '#shared/runtime/listen.ts';
import { createServer } from '#shared/runtime/server.ts';

process.channel?.ref(); // nothing else keeps the process alive
const settings = once(process, 'message');
await Promise.all([
  import('./service.ts'),
  preparePubSub(),
  serveOnce(),
  ...(environment['AGENT_MODULE'] === undefined ? loadGeminiAgent() : []),
]);
Object.assign(environment, ((await settings) as [NodeJS.ProcessEnv])[0]);
process.channel?.unref();
await import('./main.ts');

/** Node compiles code when it first runs. */
async function serveOnce(): Promise<void> {
  const app = createServer();
  await listen(app, { host: '127.0.0.1', port: 0 });
  await app.close();
}

/** The worker loads these modules after its start (agent/load.ts). */
function loadGeminiAgent(): Promise<unknown>[] {
  return [
    import('./agent/gemini/agent.ts'),
    import('./agent/mcp/tools.ts'),
    import('./agent/files/fetch-file.ts'),
    import('./agent/tools/modules.ts'),
  ];
}
