/**
 * The state that an agent records itself: steps without a function, which are restored at once when the turn runs again.
 * Entries that are appended together, or while earlier ones are being stored, are stored by one statement.
 */
import { createBatcher } from '#shared/db/client/batcher.ts';
import type { NewStep } from '#shared/db/turns/write.ts';
import type { Json } from '#shared/domain/message.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { StateLog } from '../../agent/agent.ts';
import { checkStep } from '../output/check.ts';
import type { StepParts } from './run-step.ts';

/** The most entries, and the most bytes, of one statement. */
const maxEntries = 128;
const maxBytes = 1024 * 1024;

/** @param run runs an operation of the turn */
export function openStateLog(
  { held, record, releaseSignal, check, toRecord, store, addUsage, onRecorded }: StepParts,
  run: <T>(operation: () => Promise<T>) => Promise<T>,
): StateLog {
  const entries = record.restore().map(({ name, output }) => ({ name, value: output as Json }));

  const storeTogether = createBatcher<NewStep, void>(
    async (steps) => {
      await store(steps);
      return steps.map(() => undefined);
    },
    { max: maxEntries, size: ({ output }) => output?.length ?? 0, maxSize: maxBytes },
  );

  async function append(name: string, value: Json, usage: ModelUsage | undefined): Promise<void> {
    check(checkStep, name, append);
    const { identity } = record.reach(name, null);
    passFaultPoint('step-run');
    held.signal.throwIfAborted();
    await held.assertHeld();
    const output = toRecord(name, value);
    if (usage !== undefined) addUsage(usage);
    await storeTogether({ ...identity, output, ...(usage && { usage }) });
    onRecorded();
    passFaultPoint('step-recorded');
  }

  return {
    entries,
    // Work that has run is recorded even then.
    stopping: releaseSignal,
    append: (name, value, { usage } = {}) => run(() => append(name, value, usage)),
  };
}
