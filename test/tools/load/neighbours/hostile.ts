/**
 * Hostile owners, as one separate process. Arguments: the rows of attacks.ts. It has a lower priority than the measured
 * processes, because real callers would not use their cores. A message of the parent starts it, the next one ends it and is
 * answered with the counts of each row.
 */
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { createTarget } from './attacks/attack.ts';
import { getAttack } from './attacks.ts';
import { getHostileOwner, getKey } from './owners.ts';

setPriority(5);
const { API_URL: apiUrl = '', GRPC_TARGET: grpcTarget = '' } = process.env;
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
for (const run of running) {
  run(ended.signal).catch((error: unknown) => {
    if (!ended.signal.aborted) console.error(error);
  });
}
await once(process, 'message');
const counts = Object.fromEntries(targets.map(({ row, target }) => [row, { ...target.counts.values }]));
ended.abort();
process.send?.(counts, () => process.exit());
