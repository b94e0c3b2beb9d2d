/**
 * What goes wrong, when, and for how long. Each fault is logged with the moments between which it was felt, so that the
 * check can tell what a call that was made twice is to be blamed on.
 *
 *   kill ──▶ dead for a moment ──▶ started again        pause ──▶ SIGCONT, sometimes after the lease has run out
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outside } from './outside.ts';
import type { Chance } from './random.ts';
import { watchRecovery, type FoundRecovery, type Recovery } from './recovery.ts';
import type { Kind, Member, System } from './system.ts';

export interface Fault {
  what: 'kill' | 'terminate' | 'pause' | 'postgres' | 'pubsub' | 'cloud tasks' | 'receivers';
  whom: string;
  pid: number | undefined;
  from: number;
  until: number;
}

/** A wakeup that Pub/Sub lost, or delayed. */
export interface Astray {
  taskId: string;
  at: number;
}

export interface Faults {
  readonly log: readonly Fault[];
  readonly recoveries: readonly Recovery[];
  /** Causes nothing more, and resolves when all is as it should be. */
  heal(): Promise<void>;
}

export function startFaults(
  system: System,
  outside: Outside,
  chance: Chance,
  options: { modelFails: boolean; faultEveryMs: number; astray: readonly Astray[] },
): Faults {
  const { modelFails, faultEveryMs, astray } = options;
  const log: Fault[] = [];
  const recoveries: Recovery[] = [];
  const stopping = new AbortController();
  const underWay = new Set<Promise<void>>();
  const busy = new Set<string>();
  outside.wrong.model = modelFails;
  outside.wrong.receivers = true;

  async function felt(
    what: Fault['what'],
    whom: string,
    pid: number | undefined,
    run: () => Promise<void>,
  ): Promise<void> {
    const fault = { what, whom, pid, from: Date.now(), until: Infinity };
    log.push(fault);
    busy.add(whom);
    await run().finally(() => {
      fault.until = Date.now();
      busy.delete(whom);
    });
  }

  function during({ from, ms }: FoundRecovery): Fault[] {
    return log.filter((fault) => fault.from <= from + ms && fault.until >= from);
  }

  /** The database and Pub/Sub were there meanwhile. */
  function isUndisturbed(found: FoundRecovery): boolean {
    return !during(found).some(({ what }) => what === 'postgres' || what === 'pubsub');
  }

  function isHindered(found: FoundRecovery, whom: string): boolean {
    const { taskId, from, ms } = found;
    // A wakeup is rung a moment before it is seen that its turn is free.
    const lost = astray.some(
      (wakeup) => wakeup.taskId === taskId && wakeup.at > from - 1_000 && wakeup.at <= from + ms,
    );
    return lost || during(found).some((fault) => fault.whom.startsWith('worker') && fault.whom !== whom);
  }

  function anyOf(kind: Kind): Member | undefined {
    const members = system.members.filter((one) => one.kind === kind);
    const member = members[chance.whole(0, members.length - 1)];
    return member !== undefined && !busy.has(member.name) && member.running !== undefined
      ? member
      : undefined;
  }

  async function end(kind: Kind, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const [downMs, member] = [chance.between(100, 1_500), anyOf(kind)];
    const { child, exited } = member?.running ?? {};
    if (member === undefined || child === undefined) return;
    await felt(signal === 'SIGKILL' ? 'kill' : 'terminate', member.name, child.pid, async () => {
      const { worker } = member;
      if (kind === 'worker' && signal === 'SIGKILL') child.kill('SIGSTOP'); // it ends nothing while its turns are counted
      // Who is to go on is there; otherwise it is the start of a process that would be measured.
      const others = system.members.some(
        (one) => one.kind === 'worker' && one !== member && one.running !== undefined && !busy.has(one.name),
      );
      const measured = kind === 'worker' && others;
      const recovery = measured ? watchRecovery(system.pool, worker, signal, exited) : undefined;
      await recovery?.counted;
      child.kill(signal);
      await exited;
      void recovery?.done.then((all) => {
        for (const found of all.filter(isUndisturbed)) {
          recoveries.push({ ...found, hindered: isHindered(found, member.name) });
        }
      });
      await sleep(downMs);
      await member.start();
    });
  }

  async function pause(kind: Kind): Promise<void> {
    const [ms, member] = [
      chance.pick([
        [2, 800],
        [2, 2_000],
        [2, 5_000],
      ] as const),
      anyOf(kind),
    ];
    const child = member?.running?.child;
    if (member === undefined || child === undefined) return;
    await felt('pause', member.name, child.pid, async () => {
      child.kill('SIGSTOP');
      await sleep(ms);
      child.kill('SIGCONT');
    });
  }

  async function once(
    what: 'postgres' | 'pubsub' | 'cloud tasks' | 'receivers',
    run: (ms: number) => Promise<void>,
  ): Promise<void> {
    const ms = chance.between(0, 1_500);
    if (!busy.has(what)) await felt(what, what, undefined, () => run(ms));
  }

  const causes: readonly (readonly [number, () => Promise<void>])[] = [
    [5, () => end('worker', 'SIGKILL')],
    [2, () => end('worker', 'SIGTERM')],
    [3, () => pause('worker')],
    [2, () => end('api', 'SIGKILL')],
    [1, () => pause('api')],
    [2, () => end('dispatcher', 'SIGKILL')],
    [1, () => pause('dispatcher')],
    [1.5, () => once('postgres', (ms) => system.restartPostgres(ms))],
    [1.5, () => once('pubsub', (ms) => system.restartPubSub(ms))],
    [1, () => once('cloud tasks', (ms) => system.restartCloudTasks(ms))],
    [1, () => once('receivers', (ms) => downFor(outside, 1_000 + ms))],
  ];

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const pauseMs = faultEveryMs * chance.between(0.3, 1.7);
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return;
      const one = chance
        .pick(causes)()
        .finally(() => underWay.delete(one));
      underWay.add(one);
    }
  }
  const running = run();

  return {
    log,
    recoveries,
    heal: async () => {
      stopping.abort();
      await running;
      await Promise.all(underWay);
      Object.assign(outside.wrong, { model: false, receivers: false, receiversDown: false });
      await Promise.all(system.members.map((member) => member.start()));
    },
  };
}

async function downFor(outside: Outside, ms: number): Promise<void> {
  outside.wrong.receiversDown = true;
  await sleep(ms);
  outside.wrong.receiversDown = false;
}
