import { PubSub } from '@google-cloud/pubsub';
import { PassThroughClient } from 'google-auth-library';
import type { Cleanup } from '../cleanup.ts';
import type { Stack } from '../stack.ts';

/** Creates a client of the stack's Pub/Sub emulator. It is closed when the test ends. */
export function createPubSubClient(t: Cleanup, { env }: Stack): PubSub {
  process.env['PUBSUB_EMULATOR_HOST'] = env['PUBSUB_EMULATOR_HOST'];
  const client = new PubSub({
    projectId: env['GOOGLE_CLOUD_PROJECT']!,
    authClient: new PassThroughClient(),
  });
  t.after(() => client.close());
  return client;
}
