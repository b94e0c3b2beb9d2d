/** Reads how an agent in code describes itself, in a thread: this process would keep the first code that it has loaded. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

const source = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData).then(({ default: agent }) => {
    parentPort.postMessage(JSON.stringify([agent?.definition, agent?.version]));
    process.exit();
  });`;

/**
 * Returns a text that changes with the definition and the version of the agent.
 *
 * @throws {Error} if the module cannot be loaded
 */
export async function readDescription(module: string): Promise<string> {
  const worker = new Worker(source, { eval: true, workerData: pathToFileURL(path.resolve(module)).href });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error(`${module} has ended while it was loaded`)));
  });
}
