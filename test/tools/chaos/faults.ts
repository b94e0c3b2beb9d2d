/**
 * Causes faults at random. Each fault is logged with its start and end, so that the check can explain repeated calls.
 *
 *   kill ──▶ dead for a moment ──▶ started again        pause ──▶ SIGCONT, sometimes after the lease has run out
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceKind } from '../../support/stack.ts';
import type { ExternalServices } from './external-services.ts';
import type { SeededRandom } from './random.ts';
import { watchRecovery, type ClassifiedRecovery, type Recovery } from './recovery.ts';
import type { Member, System } from './system.ts';

export interface Fault {
  kind: 'kill' | 'terminate' | 'pause' | 'postgres' | 'pubsub' | 'cloud_tasks' | 'receivers';
  /** The name of the process or part. */
  target: string;
  pid: number | undefined;
  from: number;
  until: number;
}

/** A wake-up that Pub/Sub lost or delayed. */
export interface StrayWakeup {
  taskId: string;
  at: number;
}

export interface Faults {
  readonly log: readonly Fault[];
  readonly recoveries: readonly ClassifiedRecovery[];
  /** Causes no more faults, and resolves when everything runs again. */
  heal(): Promise<void>;
}

export function startFaults(
  system: System,
  external: ExternalServices,
  random: SeededRandom,
  options: { modelFails: boolean; faultEveryMs: number; strayWakeups: readonly StrayWakeup[] },
): Faults {
  const { modelFails, faultEveryMs, strayWakeups } = options;
  const log: Fault[] = [];
  const recoveries: ClassifiedRecovery[] = [];
  const stopping = new AbortController();
  const inFlight = new Set<Promise<void>>();
  const busy = new Set<string>();
  external.failing.model = modelFails;
  external.failing.receivers = true;

  /** Logs a fault while `run` causes it. */
  async function cause(
    kind: Fault['kind'],
    target: string,
    pid: number | undefined,
    run: () => Promise<void>,
  ): Promise<void> {
    const fault = { kind, target, pid, from: Date.now(), until: Infinity };
    log.push(fault);
    busy.add(target);
    await run().finally(() => {
      fault.until = Date.now();
      busy.delete(target);
    });
  }

  function getFaultsDuring({ from, ms }: Recovery): Fault[] {
    return log.filter((fault) => fault.from <= from + ms && fault.until >= from);
  }

  /** Returns true if the database and Pub/Sub were up the whole time. */
  function isMeasurable(recovery: Recovery): boolean {
    return !getFaultsDuring(recovery).some(({ kind }) => kind === 'postgres' || kind === 'pubsub');
  }

  function isHindered(recovery: Recovery, worker: string): boolean {
    const { taskId, from, ms } = recovery;
    // The wake-up is published a moment before the poll notices that the turn is free.
    const stray = strayWakeups.some(
      (wakeup) => wakeup.taskId === taskId && wakeup.at > from - 1_000 && wakeup.at <= from + ms,
    );
    const otherFault = getFaultsDuring(recovery).some(
      ({ target }) => target.startsWith('worker') && target !== worker,
    );
    return stray || otherFault;
  }

  function pickMember(kind: ServiceKind): Member | undefined {
    const members = system.members.filter((candidate) => candidate.kind === kind);
    const member = members[random.integer(0, members.length - 1)];
    return member !== undefined && !busy.has(member.name) && member.running !== undefined
      ? member
      : undefined;
  }

  async function stop(kind: ServiceKind, signal: Recovery['signal']): Promise<void> {
    const [downMs, member] = [random.between(100, 1_500), pickMember(kind)];
    const { child, exited } = member?.running ?? {};
    if (member === undefined || child === undefined) return;
    await cause(signal === 'SIGKILL' ? 'kill' : 'terminate', member.name, child.pid, async () => {
      const { worker } = member;
      if (kind === 'worker' && signal === 'SIGKILL') child.kill('SIGSTOP'); // ends no turn while they are counted
      // Without another worker that is up, the start of a process would be measured.
      const hasSuccessor = system.members.some(
        (other) =>
          other.kind === 'worker' && other !== member && other.running !== undefined && !busy.has(other.name),
      );
      const isMeasured = kind === 'worker' && hasSuccessor;
      const recovery = isMeasured ? watchRecovery(system.pool, worker, signal, exited) : undefined;
      await recovery?.counted;
      child.kill(signal);
      await exited;
      void recovery?.done.then((all) => {
        for (const measured of all.filter(isMeasurable)) {
          recoveries.push({ ...measured, hindered: isHindered(measured, member.name) });
        }
      });
      await sleep(downMs);
      await member.start();
    });
  }

  async function pause(kind: ServiceKind): Promise<void> {
    const [ms, member] = [
      random.pick([
        [2, 800],
        [2, 2_000],
        [2, 5_000],
      ] as const),
      pickMember(kind),
    ];
    const child = member?.running?.child;
    if (member === undefined || child === undefined) return;
    await cause('pause', member.name, child.pid, async () => {
      child.kill('SIGSTOP');
      await sleep(ms);
      child.kill('SIGCONT');
    });
  }

  /** Takes down a part that exists only once, unless it is already down. */
  async function takeDown(
    kind: 'postgres' | 'pubsub' | 'cloud_tasks' | 'receivers',
    run: (ms: number) => Promise<void>,
  ): Promise<void> {
    const ms = random.between(0, 1_500);
    if (!busy.has(kind)) await cause(kind, kind, undefined, () => run(ms));
  }

  const weightedFaults: readonly (readonly [number, () => Promise<void>])[] = [
    [5, () => stop('worker', 'SIGKILL')],
    [2, () => stop('worker', 'SIGTERM')],
    [3, () => pause('worker')],
    [2, () => stop('api', 'SIGKILL')],
    [1, () => pause('api')],
    [2, () => stop('dispatcher', 'SIGKILL')],
    [1, () => pause('dispatcher')],
    [1.5, () => takeDown('postgres', (ms) => system.restartPostgres(ms))],
    [1.5, () => takeDown('pubsub', (ms) => system.restartPubSub(ms))],
    [1, () => takeDown('cloud_tasks', (ms) => system.restartCloudTasks(ms))],
    [1, () => takeDown('receivers', (ms) => takeReceiversDown(external, 1_000 + ms))],
  ];

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const pauseMs = faultEveryMs * random.between(0.3, 1.7);
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return;
      const fault = random
        .pick(weightedFaults)()
        .finally(() => inFlight.delete(fault));
      inFlight.add(fault);
    }
  }
  const running = run();

  return {
    log,
    recoveries,
    heal: async () => {
      stopping.abort();
      await running;
      await Promise.all(inFlight);
      Object.assign(external.failing, { model: false, receivers: false, receiversDown: false });
      await Promise.all(system.members.map((member) => member.start()));
    },
  };
}

async function takeReceiversDown(external: ExternalServices, ms: number): Promise<void> {
  external.failing.receiversDown = true;
  await sleep(ms);
  external.failing.receiversDown = false;
}
