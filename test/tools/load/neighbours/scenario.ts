/** Measures one owner alone, and then next to hostile ones, on a system of its own for each scenario. */
import { once } from 'node:events';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCleanup } from '../../../support/cleanup.ts';
import { runNode, type RunningProcess } from '../../../support/processes/processes.ts';
import { getAttack } from './attacks.ts';
import type { Counts } from './attacks/attack.ts';
import { getHostileOwner, goodOwner } from './owners.ts';
import { requestUsage, type LoopUsage } from './measured/loop-usage.ts';
import { createMachineMeter, type MachineUsage } from './measured/machine.ts';
import type { GoodReport, Phase } from './samples.ts';
import type { ServiceUsage } from './measured/service.ts';
import { startSystem } from './system.ts';
import type { ServiceKind } from '../../../support/stack.ts';

export interface ScenarioOptions {
  /** Rows of attacks.ts; several run together. None: the hostile process sends nothing. */
  rows: readonly number[];
  /** Cores that the hostile process uses in addition. Default: 0. */
  burn?: number;
  warmUpSeconds: number;
  aloneSeconds: number;
  hostileSeconds: number;
  /** Starts of each operation of the measured owner, per second. */
  rate: number;
  /** Environment of the services. */
  env: Record<string, string>;
}

/** The use of the cores in one phase. */
export interface Usage {
  /** `good`: the process that measures. */
  loops: Partial<Record<ServiceKind | 'good', LoopUsage | undefined>>;
  machine: MachineUsage;
}

export interface ScenarioResult {
  rows: readonly number[];
  burn?: number;
  good: GoodReport;
  /** By phase. */
  usage?: Record<'alone' | 'hostile', Usage>;
  /** Cores that the hostile process has used. */
  hostileCpu?: number;
  /** While the hostile owners were there, and afterwards until the measured owner's work was done. */
  services: Record<ServiceKind, ServiceUsage>;
  /** Outcomes of the requests of the hostile owners, by row. */
  counts: Record<string, Counts>;
  /** Load average of the machine before the scenario, over one minute. */
  loadBefore: number;
}

const reportUsage = new URL('measured/report-usage.ts', import.meta.url);
const child = (name: string) => `test/tools/load/neighbours/${name}.ts`;

export async function runScenario(options: ScenarioOptions): Promise<ScenarioResult> {
  const { rows, burn = 0, env, rate, warmUpSeconds, aloneSeconds, hostileSeconds } = options;
  const [loadBefore = 0] = os.loadavg();
  const t = createCleanup();
  try {
    const owners = [goodOwner, ...rows.map(getHostileOwner)];
    const { apiUrl, grpcTarget, pool, services } = await startSystem(t, owners, env);
    const clientEnv = { API_URL: apiUrl, GRPC_TARGET: grpcTarget, RATE: String(rate) };
    const good = runNode(t, ['--import', reportUsage.href, child('good')], { env: clientEnv });
    const hostile = runNode(t, [child('hostile'), ...rows.map(String)], {
      env: { ...clientEnv, BURN: String(burn) },
    });
    await Promise.all([receive(good), receive(hostile)]);

    const start = (phase: Phase | 'stop') => good.child.send(phase);
    const finishPhase = async (seconds: number) => {
      await sleep(1000 * seconds);
      const idle = receive(good);
      start('pause');
      await idle;
    };
    const readMachine = createMachineMeter();
    const readUsage = async (): Promise<Usage> => {
      const machine = readMachine();
      const loops = await Promise.all(
        services.map(async ({ kind, readLoop }) => [kind, await readLoop()] as const),
      );
      return { loops: { ...Object.fromEntries(loops), good: await requestUsage(good.child) }, machine };
    };
    await finishPhase(warmUpSeconds);
    start('alone');
    await readUsage();
    await finishPhase(aloneSeconds);
    const usageAlone = await readUsage();
    for (const row of rows) await getAttack(row).seed?.(pool, getHostileOwner(row));
    for (const service of services) service.reset();
    await readUsage();
    start('hostile');
    hostile.child.send('start');
    await sleep(1000 * hostileSeconds);
    const usage = { alone: usageAlone, hostile: await readUsage() };
    const outcome = receive<{ counts: Record<string, Counts>; cpu: number }>(hostile);
    hostile.child.send('stop');
    const report = receive<GoodReport>(good);
    start('stop');
    const { counts, cpu: hostileCpu } = await outcome;
    return {
      rows,
      burn,
      counts,
      hostileCpu,
      usage,
      good: await report,
      services: Object.fromEntries(
        services.map(({ kind, usage }) => [kind, usage()]),
      ) as ScenarioResult['services'],
      loadBefore,
    };
  } finally {
    await t.run();
  }
}

/** Resolves to the next message of a process. */
async function receive<T>({ child, exited, output }: RunningProcess): Promise<T> {
  const ended = exited.then(() => Promise.reject(new Error(`a load process ended:\n${output()}`)));
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [T];
  return message;
}
