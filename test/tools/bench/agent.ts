/**
 * The measured agent. It does no work, so that only the system is measured. The text of the message selects a variant:
 * `wait` runs until it is cancelled; `ticks <n>` reports the current time as progress n times; `steps <n>` runs
 * n durable steps, one after the other.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from 'longhaul/agent';
import { textOf } from '#shared/domain/message.ts';

const agent: Agent = {
  run: async (turn) => {
    const { signal } = turn;
    const [word, count] = textOf(turn.message.parts).split(' ');
    const ticks = word === 'ticks' ? Number(count) : 0;
    if (word === 'wait') await new Promise((_, reject) => signal.addEventListener('abort', reject));
    for (let tick = 0; tick < ticks; tick++) {
      await sleep(20, undefined, { signal });
      await turn.progress(String(performance.timeOrigin + performance.now()));
    }
    const steps = word === 'steps' ? Number(count) : 0;
    for (let step = 0; step < steps; step++) await turn.step('nothing', async () => null);
    return { state: 'TASK_STATE_COMPLETED' };
  },
};
export default agent;
