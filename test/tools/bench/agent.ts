/**
 * The measured agent. It does no work, so that only the system is measured. The text of the message selects a variant:
 * `wait` runs until it is cancelled; `ticks <n>` reports the current time as progress n times; `steps <n>` runs
 * n durable steps, one after the other; `sleep <ms>` sleeps until that time, and `call` waits for a callback, whose URL is
 * an artifact. Both complete with the current time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from 'longhaul/agent';
import { textOf } from '#shared/domain/message.ts';

const agent: Agent = {
  run: async (turn) => {
    const { signal } = turn;
    const [word, count] = textOf(turn.message.parts).split(' ');
    if (word === 'sleep') {
      await turn.sleep('nap', new Date(Number(count)));
      return { state: 'TASK_STATE_COMPLETED', message: readClock() };
    }
    if (word === 'call') {
      const { url, result } = await turn.callback('call');
      await turn.step('url', () => turn.artifact({ artifactId: 'url', parts: [{ text: url }] }));
      await result;
      return { state: 'TASK_STATE_COMPLETED', message: readClock() };
    }
    const ticks = word === 'ticks' ? Number(count) : 0;
    if (word === 'wait') await new Promise((_, reject) => signal.addEventListener('abort', reject));
    for (let tick = 0; tick < ticks; tick++) {
      await sleep(20, undefined, { signal });
      await turn.progress(readClock());
    }
    const steps = word === 'steps' ? Number(count) : 0;
    for (let step = 0; step < steps; step++) await turn.step('nothing', async () => null);
    return { state: 'TASK_STATE_COMPLETED' };
  },
};
export default agent;

const readClock = (): string => String(performance.timeOrigin + performance.now());
