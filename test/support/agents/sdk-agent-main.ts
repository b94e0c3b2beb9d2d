/** An agent of an SDK (sdk-agents.ts) as a process: `VERSION` is 1.0 or 0.3, `PORT` its port. */
import { createCleanup } from '../cleanup.ts';
import { startSdkAgent, startV03SdkAgent } from './sdk-agents.ts';

const options = { port: Number(process.env['PORT']), pushNotifications: process.env['NOTIFIES'] === '1' };
const cleanup = createCleanup();
const url = await (process.env['VERSION'] === '0.3'
  ? startV03SdkAgent(cleanup, options)
  : startSdkAgent(cleanup, 'JSONRPC', options));
console.log(`listening at ${url}`);
