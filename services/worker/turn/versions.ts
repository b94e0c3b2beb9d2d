/** The changes of an agent's code that a turn takes or does not take (docs/develop/versions.md). */
import type { NewStep } from '#shared/db/turns/write.ts';
import { checkStep } from './output/check.ts';
import type { TurnRecord } from './record.ts';

/**
 * Returns `turn.version`: all calls for a change get the same answer, which is recorded if it is positive.
 *
 * @param store stores the marker of a change
 */
export function createVersionReader(
  record: TurnRecord,
  store: (marker: NewStep) => Promise<void>,
): (name: string) => Promise<boolean> {
  const answers = new Map<string, Promise<boolean>>();

  async function read(name: string): Promise<boolean> {
    checkStep(name, read);
    const { isNew, marker } = record.reachVersion(name);
    if (marker !== undefined) await store({ ...marker, output: 'true' });
    return isNew;
  }

  return (name) => {
    const answer = answers.get(name) ?? read(name);
    answers.set(name, answer);
    return answer;
  };
}
