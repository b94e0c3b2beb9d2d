/**
 * A chaos run:
 *
 *   start ▸ clients and faults for some time ▸ heal ▸ wait until nothing is left to do ▸ check every task from outside
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseTurn } from '#shared/gcp/pubsub.ts';
import type { MessageFate } from '#services/local/pubsub-emulator/broker/broker.ts';
import { checkRun, mustBeEmpty, waitForQuiet, type Findings, type LostTurn } from './check.ts';
import { startClients, type AcceptedTask, type Clients } from './clients.ts';
import { startExternalServices } from './external-services.ts';
import { startFaults, type Fault, type StrayWakeup } from './faults.ts';
import { SeededRandom } from './random.ts';
import type { ClassifiedRecovery } from './recovery.ts';
import { startSystem } from './system.ts';

export interface ChaosOptions {
  seed: number;
  seconds: number;
  tasksPerSecond: number;
  /** How long the system may keep working after it is healed. */
  quietSeconds: number;
  /** Average time between two faults. */
  faultEveryMs: number;
  /** False: the model never fails, so that no task is parked for half a minute. */
  modelFails: boolean;
  say?: (line: string) => void;
}

export interface ChaosResult {
  seed: number;
  seconds: number;
  accepted: readonly AcceptedTask[];
  messages: number;
  sendsRepeated: number;
  streams: Clients['streams'];
  faults: readonly Fault[];
  recoveries: readonly ClassifiedRecovery[];
  quietAfterMs: number;
  findings: Findings;
  /** Errors that the services logged. */
  errors: readonly string[];
  passed: boolean;
}

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, seconds, tasksPerSecond, faultEveryMs, modelFails, say = () => undefined } = options;
  const createRandom = (stream: string): SeededRandom => new SeededRandom(seed, stream);
  const pubsubRandom = createRandom('pubsub');
  let healed = false;
  const strayWakeups: StrayWakeup[] = [];
  const chooseFate = (data: Buffer): MessageFate => {
    if (healed) return 'delivered';
    const fate = pubsubRandom.pick<MessageFate>([
      [12, 'delivered'],
      [3, 'lost'],
      [3, 'repeated'],
      [2, { delayMs: Math.round(pubsubRandom.between(50, 3_000)) }],
    ]);
    const taskId = parseTurn(data)?.taskId;
    if (taskId !== undefined && (fate === 'lost' || typeof fate === 'object'))
      strayWakeups.push({ taskId, at: Date.now() });
    return fate;
  };
  const errors: string[] = [];
  const external = await startExternalServices(createRandom);
  const lost: LostTurn[] = [];
  const system = await startSystem({
    toolUrl: external.toolUrl,
    modelUrl: external.modelUrl,
    chooseFate,
    onError: (line) => errors.push(line),
    onTurnLost: (pid) => lost.push({ pid, at: Date.now() }),
  });
  try {
    say('the system is up');
    const clients = startClients({
      apiUrls: system.apiUrls,
      receiverUrl: external.receiverUrl,
      random: createRandom('load'),
      tasksPerSecond,
    });
    const faultOptions = { modelFails, faultEveryMs, strayWakeups };
    const faults = startFaults(system, external, createRandom('faults'), faultOptions);
    await sleep(seconds * 1000);
    say(`${clients.accepted.length} tasks accepted, ${faults.log.length} faults caused; healing`);
    await Promise.all([faults.heal(), clients.stop()]);
    healed = true;
    say('healed; waiting until nothing is left to do');
    const quietAfterMs = await waitForQuiet(system.pool, options.quietSeconds * 1000);
    const findings = await checkRun(system, external, clients, { faults: faults.log, lost });
    return {
      seed,
      seconds,
      accepted: clients.accepted,
      messages: clients.accepted.reduce((sum, task) => sum + task.plans.length, 0),
      sendsRepeated: clients.repeats(),
      streams: clients.streams,
      faults: faults.log,
      recoveries: faults.recoveries,
      quietAfterMs,
      findings,
      errors,
      passed: clients.accepted.length > 0 && mustBeEmpty.every((name) => findings[name].length === 0),
    };
  } finally {
    await system.close();
    await external.close();
  }
}
