/**
 * Hostile owners, as one separate process. Arguments: the rows of attacks.ts. It has the lowest priority, because real callers, and the
 * servers to which webhooks and downloads go, would not use the cores of the measured processes: it runs when these have nothing to do. A
 * message of the parent starts it, the next one ends it and is answered with the counts of each row, and with the cores that it has used.
 *
 * With BURN it also uses so many cores for nothing, up to one: without rows, this shows what a process of that kind costs
 * the others by its use of the machine alone.
 */
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTarget } from './attacks/attack.ts';
import { getAttack } from './attacks.ts';
import { getHostileOwner, getKey } from './owners.ts';

setPriority(constants.priority.PRIORITY_LOW);
const { API_URL: apiUrl = '', GRPC_TARGET: grpcTarget = '', BURN: burn = '0' } = process.env;
const burnMs = 5;
const targets = process.argv.slice(2).map((row) => ({
  row,
  attack: getAttack(Number(row)),
  target: createTarget(apiUrl, grpcTarget, getKey(getHostileOwner(Number(row)))),
}));
const running = await Promise.all(targets.map(({ attack, target }) => attack.prepare(target)));
// The parts that all processes preload let a process end although its parent may still send messages.
process.channel?.ref();
process.send?.('ready');
await once(process, 'message');
const ended = new AbortController();
const started = { at: performance.now(), cpu: process.cpuUsage() };
if (Number(burn) > 0) void burnCores(Number(burn), ended.signal);
for (const run of running) {
  run(ended.signal).catch((error: unknown) => {
    if (!ended.signal.aborted) console.error(error);
  });
}
await once(process, 'message');
const counts = Object.fromEntries(targets.map(({ row, target }) => [row, { ...target.counts.values }]));
const { user, system } = process.cpuUsage(started.cpu);
const cpu = (user + system) / 1000 / (performance.now() - started.at);
ended.abort();
process.send?.({ counts, cpu }, () => process.exit());

/** Uses a share of one core, in pieces. */
async function burnCores(share: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const until = performance.now() + burnMs;
    while (performance.now() < until);
    await sleep(burnMs / share - burnMs);
  }
}
