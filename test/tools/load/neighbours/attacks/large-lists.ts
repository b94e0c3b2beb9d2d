import {
  attempt,
  attemptUntilAccepted,
  createLargeSend,
  longText,
  repeatInParallel,
  type Attack,
} from './attack.ts';

export const largeLists: Attack = {
  title: '20 tasks of 7.8 MB of text, then ListTasks in two loops',
  prepare: async (target) => async (signal) => {
    const { client, counts } = target;
    await attemptUntilAccepted(target, signal, 20, () =>
      client.post('/a2a/jsonrpc', createLargeSend('say hello', ['text', longText]), signal),
    );
    await repeatInParallel(2, signal, async () => {
      const list = { pageSize: 100, historyLength: 1, includeArtifacts: true };
      const answer = await attempt(target, signal, () => client.call('ListTasks', list, signal));
      counts.max('MB of the largest list', Math.round((answer?.bytes ?? 0) / 1e6));
    });
  },
};
