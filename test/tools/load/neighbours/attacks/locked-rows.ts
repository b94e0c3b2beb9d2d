import { attempt, createSend, getTaskId, inAnHour, repeatInParallel, type Attack } from './attack.ts';

/** Each change locks the task, so all loops wait for each other. */
export const lockedRows: Attack = {
  title: 'changes and lists the webhook configs of one task, and lists tasks, in 64 loops',
  prepare: async (target) => async (signal) => {
    const { client } = target;
    const send = createSend('say hello', { metadata: inAnHour() });
    const taskId = getTaskId(await attempt(target, signal, () => client.call('SendMessage', send, signal)));
    await repeatInParallel(64, signal, async (loop) => {
      const config = { taskId, id: `hook-${loop % 20}`, url: 'https://example.com/hook' };
      const { id } = config;
      for (const call of [
        () => client.call('CreateTaskPushNotificationConfig', config, signal),
        () => client.call('ListTaskPushNotificationConfigs', { taskId }, signal),
        () => client.call('DeleteTaskPushNotificationConfig', { taskId, id }, signal),
        () => client.call('ListTasks', { pageSize: 100 }, signal),
      ]) {
        await attempt(target, signal, call);
      }
    });
  },
};
