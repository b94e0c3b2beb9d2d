/**
 * A chaos run:
 *
 *   start ▸ load and faults, for a time ▸ heal ▸ wait until all is quiet, within a bound ▸ check every task from outside
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseTurn } from '#shared/gcp/pubsub.ts';
import type { MessageFate } from '#services/local/pubsub-emulator/broker/broker.ts';
import { check, mustBeEmpty, untilQuiet, type Findings, type LostTurn } from './check.ts';
import { startFaults, type Astray, type Fault } from './faults.ts';
import { startLoad, type Accepted, type Load } from './load.ts';
import { startOutside } from './outside.ts';
import { Chance } from './random.ts';
import type { Recovery } from './recovery.ts';
import { startSystem } from './system.ts';

export interface ChaosOptions {
  seed: number;
  seconds: number;
  tasksPerSecond: number;
  /** For how long the system may go on working when all is healed. */
  quietSeconds: number;
  /** Between one fault and the next, on the average. */
  faultEveryMs: number;
  /** False: the model always answers, so that no task waits, parked, for half a minute. */
  modelFails: boolean;
  say?: (line: string) => void;
}

export interface ChaosResult {
  seed: number;
  seconds: number;
  accepted: readonly Accepted[];
  messages: number;
  sendsRepeated: number;
  streams: Load['streams'];
  faults: readonly Fault[];
  recoveries: readonly Recovery[];
  quietAfterMs: number;
  findings: Findings;
  /** What the services logged as errors: for whoever looks into a failure. */
  errors: readonly string[];
  passed: boolean;
}

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, say = () => undefined } = options;
  const chanceOf = (stream: string): Chance => new Chance(seed, stream);
  const pubsubChance = chanceOf('pubsub');
  let healed = false;
  const astray: Astray[] = [];
  const chooseFate = (data: Buffer): MessageFate => {
    if (healed) return 'delivered';
    const fate = pubsubChance.pick<MessageFate>([
      [12, 'delivered'],
      [3, 'lost'],
      [3, 'repeated'],
      [2, { delayMs: Math.round(pubsubChance.between(50, 3_000)) }],
    ]);
    const taskId = parseTurn(data)?.taskId;
    if (taskId !== undefined && (fate === 'lost' || typeof fate === 'object'))
      astray.push({ taskId, at: Date.now() });
    return fate;
  };
  const errors: string[] = [];
  const outside = await startOutside(chanceOf);
  const lost: LostTurn[] = [];
  const system = await startSystem({
    ...outside,
    chooseFate,
    onError: (line) => errors.push(line),
    onTurnLost: (pid) => lost.push({ pid, at: Date.now() }),
  });
  try {
    say('the system is up');
    const load = startLoad({
      ...options,
      apiUrls: system.apiUrls,
      receiverUrl: outside.receiverUrl,
      chance: chanceOf('load'),
    });
    const faults = startFaults(system, outside, chanceOf('faults'), { ...options, astray });
    await sleep(options.seconds * 1000);
    say(`${load.accepted.length} tasks accepted, ${faults.log.length} faults caused; healing`);
    await Promise.all([faults.heal(), load.stop()]);
    healed = true;
    say('healed; waiting until all is quiet');
    const quietAfterMs = await untilQuiet(system.pool, options.quietSeconds * 1000);
    const findings = await check(system, outside, load, { faults: faults.log, lost });
    return {
      seed,
      seconds: options.seconds,
      accepted: load.accepted,
      messages: load.accepted.reduce((sum, task) => sum + task.plans.length, 0),
      sendsRepeated: load.repeats(),
      streams: load.streams,
      faults: faults.log,
      recoveries: faults.recoveries,
      quietAfterMs,
      findings,
      errors,
      passed: load.accepted.length > 0 && mustBeEmpty.every((name) => findings[name].length === 0),
    };
  } finally {
    await system.close();
    await outside.close();
  }
}
