/**
 * Runs a turn again from every prefix of its record, as workers do after crashes, and compares each run with the first:
 *
 *   first run   a ─ b ─ c ─ end
 *   reruns      · a ─ b ─ c ─ end     a · b ─ c ─ end     a ─ b · c ─ end     a ─ b ─ c · end      (· = the crash)
 *
 * Steps after the prefix run again, but have the results of the first run: only code outside steps can make a difference.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Agent, StepContext, StepOptions, Turn } from '#services/worker/agent/agent.ts';
import type { Json } from '#shared/domain/message.ts';
import { withShiftedDate } from './shifted-date.ts';
import { MemoryTask } from './task.ts';
import { toKey, type LogEntry } from './turn-log.ts';
import type { TestTask, TestTaskOptions } from './types.ts';

/** An hour, a day and a month: code that reads the clock outside steps takes other paths. */
const shiftMs = 32 * 86_400_000 + 3_600_000;

/** Code outside steps behaves differently when the turn runs again (docs/develop/versions.md). */
export class DivergenceError extends Error {
  override readonly name = 'DivergenceError';
}

/**
 * Runs the first turn of a task, and runs it again from every prefix of its record. The functions of steps run once for
 * each prefix without their step, so give them stand-ins for everything that they change. `Date` is moved ahead in the
 * process meanwhile.
 *
 * @returns the task after its first run
 * @throws {DivergenceError} if a rerun reaches other steps, or ends or writes otherwise
 * @throws {Error} if the turn does not end: give answers to its callbacks
 */
export async function assertReplays(agent: Agent, options: TestTaskOptions | string): Promise<TestTask> {
  const task = new MemoryTask(agent, options);
  const fresh = task.fork(agent, 0);
  const { end, error, waits } = await task.run();
  if (end !== 'ended') {
    const open = waits.map(({ kind, name }) => `${kind} "${name}"`).join(', ');
    throw new Error(`The turn does not end: it is ${end}${open && `, for ${open}`}.`, { cause: error });
  }
  const results = new Map(task.steps.map(({ key, result }) => [key, result]));
  const { entries } = task.log;
  const prefixes = [0, ...entries.flatMap((entry, index) => (recordsStep(entry) ? [index + 1] : []))];
  fresh.log.entries.push(...entries);
  for (const prefix of prefixes) {
    const rerun = fresh.fork(withResults(agent, results), prefix);
    await withShiftedDate(shiftMs, async () => assertSame(task, rerun, describePrefix(entries, prefix)));
  }
  return task;
}

async function assertSame(task: MemoryTask, rerun: MemoryTask, prefix: string): Promise<void> {
  const run = await rerun.run();
  const fail = (problem: string): never => {
    throw new DivergenceError(`The rerun ${prefix} diverges: ${problem}`, { cause: run.error });
  };
  if (run.end !== 'ended') fail(`it is ${run.end}, but the first run ended.`);
  const [first, again] = [task.steps, rerun.steps];
  for (const [index, { key }] of first.entries()) {
    const reached = again[index]?.key;
    if (reached === key) continue;
    const where = reached === undefined ? 'ended' : `reached the step ${reached}`;
    fail(`it ${where}, where the first run had reached ${key}. ${rerun.messageText}`.trim());
  }
  if (again.length > first.length)
    fail(`it reached the step ${again[first.length]?.key} after the last one.`);
  if (rerun.state !== task.state || rerun.messageText !== task.messageText) {
    fail(`it ended as ${show(rerun)}, and the first run as ${show(task)}.`);
  }
  if (!isDeepStrictEqual(getInputs(rerun), getInputs(task))) fail('a step has another input.');
  for (const [index, artifact] of task.artifacts.entries()) {
    if (isDeepStrictEqual(rerun.artifacts[index], artifact)) continue;
    fail(`the artifact "${artifact.artifactId}" differs.`);
  }
  if (rerun.artifacts.length > task.artifacts.length) fail('it wrote more artifacts.');
}

/** Runs the functions of steps, and returns the results of the first run in place of theirs. */
function withResults(agent: Agent, results: ReadonlyMap<string, Json>): Agent {
  return {
    run: (turn) => {
      const counts = new Map<string, number>();
      const step = async <T extends Json | void>(
        name: string,
        run: (step: StepContext) => Promise<T>,
        options?: StepOptions,
      ): Promise<T> => {
        const occurrence = counts.get(name) ?? 0;
        counts.set(name, occurrence + 1);
        const first = results.get(toKey({ name, occurrence }));
        return turn.step(
          name,
          async (context) => {
            const result = await run(context);
            return first === undefined ? result : (first as T);
          },
          options,
        );
      };
      const replaying = Object.create(turn, { step: { value: step } }) as Turn;
      return agent.run(replaying);
    },
  };
}

function recordsStep(entry: LogEntry): boolean {
  return 'result' in entry || entry.steps.length > 0;
}

function describePrefix(entries: readonly LogEntry[], prefix: number): string {
  const last = entries[prefix - 1];
  if (last === undefined) return 'from the start';
  return `after ${'result' in last ? last.key : last.steps.map(toKey).join(', ')}`;
}

function getInputs({ log }: MemoryTask): (string | null)[] {
  return log
    .getRecord(0)
    .toSorted((a, b) => a.position - b.position)
    .map(({ inputHash }) => inputHash);
}

function show({ state, messageText }: TestTask): string {
  return messageText === '' ? state : `${state} ("${messageText.slice(0, 300)}")`;
}
