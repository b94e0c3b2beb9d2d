/**
 * Statements with large values. PostgreSQL takes more than 0.1 s of a core for 8 MB, so a process runs two of them at a time,
 * and one of each name. Each is sent when the event loop is free for it.
 */
import { FairLanes } from '../../runtime/fair-lanes.ts';
import { largeWork } from '../../runtime/large-work.ts';

const lanes = new FairLanes(2);

/** @param name of the owner, or of the task */
export function runLargeStatement<T>(name: string, run: () => Promise<T>): Promise<T> {
  return lanes.run(name, async () => {
    await largeWork.start(name);
    return run();
  });
}
