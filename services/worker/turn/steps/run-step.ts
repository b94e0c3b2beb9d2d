/** Runs the steps of a turn: each is recorded when it ends, and returns its record from then on (invariant 7). */
import type { NewStep } from '#shared/db/turns/write.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Json } from '#shared/domain/message.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { StepContext, StepOptions, Turn } from '../../agent/agent.ts';
import type { HeldLease } from '../lease-heartbeat.ts';
import { checkStep } from '../output/check.ts';
import { hashInput, type ReachedStep, type TurnRecord } from '../record.ts';
import { inStepSpan } from '../spans.ts';
import { runWithPolicy } from '../step-policy.ts';

export interface StepParts {
  held: HeldLease;
  record: TurnRecord;
  /** Aborts when the turn should be released: no further step starts. */
  releaseSignal: AbortSignal;
  /** The timeout of steps that set none. */
  stepSeconds: number | undefined;
  /** Runs a check of what the agent passes; a failure is remembered. */
  check: (checkStep: (name: string, run: unknown) => void, name: string, run: unknown) => void;
  /** Turns the result of a step into JSON. */
  toRecord: (name: string, result: Json) => string;
  store: (steps: readonly NewStep[]) => Promise<void>;
  /** Counts the usage of a step that is about to be recorded. */
  addUsage: (usage: ModelUsage) => void;
  onRecorded: () => void;
}

export function createStepRunner(parts: StepParts): Turn['step'] {
  const { held, record, releaseSignal } = parts;
  const { lease, signal } = held;
  /** How many steps of a name and an input were reached. */
  const sameInputs = new Map<string, number>();

  /** Returns the step that is reached, and what its idempotency key ends with. */
  async function reach(
    name: string,
    { input, matchInput = false }: StepOptions,
  ): Promise<ReachedStep & { key: string }> {
    const inputHash = hashInput(input);
    if (!matchInput) {
      const reached = record.reach(name, inputHash);
      return { ...reached, key: String(reached.identity.occurrence) };
    }
    if (inputHash === null) {
      throw new FatalError(`The step "${name}" has no input: matchInput needs one (input).`);
    }
    const same = sameInputs.get(`${name}/${inputHash}`) ?? 0;
    sameInputs.set(`${name}/${inputHash}`, same + 1);
    const reached = await record.reachByInput(name, inputHash);
    return { ...reached, key: same === 0 ? inputHash : `${inputHash}/${same}` };
  }

  return async <T extends Json | void>(
    name: string,
    run: (step: StepContext) => Promise<T>,
    options: StepOptions = {},
  ): Promise<T> => {
    parts.check(checkStep, name, run);
    const { identity, earlier, key } = await reach(name, options);
    if (earlier?.finished === true) return earlier.output as T;
    signal.throwIfAborted();
    releaseSignal.throwIfAborted();
    await held.assertHeld();
    if (options.sideEffects === true) await parts.store([{ ...identity, output: null }]);
    const idempotencyKey = `${lease.taskId}/${lease.turn}/${name}/${key}`;
    const runHeld = async (context: StepContext): Promise<T> => {
      await held.assertHeld();
      return run(context);
    };
    const policy = { timeoutSeconds: parts.stepSeconds, ...options };
    return inStepSpan(identity, async () => {
      const startedAt = performance.now();
      const result = await runWithPolicy(runHeld, idempotencyKey, signal, policy);
      passFaultPoint('step-run');
      const output: Json = result ?? null;
      const usage = options.usage?.(output);
      if (usage !== undefined) parts.addUsage(usage);
      const seconds = (performance.now() - startedAt) / 1000;
      const record = { ...identity, output: parts.toRecord(name, output), seconds };
      await parts.store([{ ...record, ...(usage && { usage }) }]);
      parts.onRecorded();
      passFaultPoint('step-recorded');
      return result;
    });
  };
}
