/** A task that the other agent no longer has, such as one that it kept in memory until it was restarted. */
import type { Call } from './call.ts';

/**
 * Returns the call as it is sent again, which only a gateway does; otherwise why it ends. A message that continues a task
 * is not sent again, because the conversation is lost too.
 */
export async function loseTask(call: Call, taskId: string): Promise<Call | string> {
  const { mirror, maxResends, name } = call;
  const text = `The agent "${name}" no longer has the task ${taskId}.`;
  if (mirror === undefined) return text;
  const cause = `${text} Agents that keep their tasks in memory lose them when they restart.`;
  const { resends } = mirror;
  if (resends >= maxResends || call.wait.continues === taskId) {
    return resends === 0 ? cause : `${cause} The message was sent ${resends + 1} times.`;
  }
  await mirror.lose(`${cause} The message is sent again.`);
  const { task: _task, reported: _reported, ...wait } = call.wait;
  return { ...call, wait, mayBeSent: true, isLively: true };
}
