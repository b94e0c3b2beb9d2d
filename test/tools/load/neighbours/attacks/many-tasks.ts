import { attempt, createSend, repeatInParallel, pause, type Attack } from './attack.ts';

const tasks = 1000;

export const manyTasks: Attack = {
  title: '1,000 tasks of 10 s',
  prepare: async (target) => async (signal) => {
    let left = tasks;
    await repeatInParallel(20, signal, async () => {
      if (left <= 0) return pause(1000, signal);
      left -= 1;
      const send = createSend('wait 10000');
      const answer = await attempt(target, signal, () => target.client.call('SendMessage', send, signal));
      if (answer === undefined) left += 1;
    });
  },
};
