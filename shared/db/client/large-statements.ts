/**
 * Statements that store or read large values. PostgreSQL takes more than 0.1 s of a core to store 8 MB, so a process runs one of
 * them at a time, in turn by name. Its event loop could not handle more: it gets to a large value when it is free for it.
 */
import { FairLanes } from '../../runtime/fair-lanes.ts';
import { largeWork } from '../../runtime/large-work.ts';

const lanes = new FairLanes(1);

/** @param name of the owner, or of the task */
export function runLargeStatement<T>(name: string, run: () => Promise<T>): Promise<T> {
  return lanes.run(name, async () => {
    await largeWork.start(name);
    return run();
  });
}
