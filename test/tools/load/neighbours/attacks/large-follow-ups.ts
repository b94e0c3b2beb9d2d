import {
  attempt,
  attemptUntilAccepted,
  createLargeSend,
  createSend,
  emptyObjects,
  getTaskId,
  pause,
  type Attack,
} from './attack.ts';

const followUps = 8;

/** Each turn of the task reads all its earlier messages. */
export const largeFollowUps: Attack = {
  title: '8 follow-ups of 7.8 MB to one task, then small ones',
  durationFactor: 2,
  prepare: async (target) => async (signal) => {
    const { client } = target;
    let taskId: string | undefined;
    while (taskId === undefined && !signal.aborted) {
      taskId = getTaskId(
        await attempt(target, signal, () => client.call('SendMessage', createSend('ask more'))),
      );
    }
    await attemptUntilAccepted(target, signal, followUps, () =>
      client.post('/a2a/jsonrpc', createLargeSend('ask more', ['data', emptyObjects], { taskId }), signal),
    );
    while (!signal.aborted) {
      const more = createSend('ask more', { message: { taskId } });
      await attempt(target, signal, () => client.call('SendMessage', more, signal));
      await pause(1000, signal);
    }
  },
};
