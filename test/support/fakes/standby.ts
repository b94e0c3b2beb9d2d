/** A fake program on standby: it runs the fake child when it gets its environment. */
import { once } from 'node:events';

console.log(JSON.stringify({ severity: 'INFO', message: 'waiting', pid: process.pid }));
process.channel?.ref();
const [env] = (await once(process, 'message')) as [NodeJS.ProcessEnv];
Object.assign(process.env, env);
process.channel?.unref();
await import('./child.ts');
