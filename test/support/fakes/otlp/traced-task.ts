/** A task in the trace of its caller. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { isCompleted, type Stack } from '../../stack.ts';

/** The span of the caller. */
export const caller = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8) };

/** Sends a message from the caller's trace, and returns the id of the completed task. */
export async function completeTracedTask(stack: Stack, text: string, url?: string): Promise<string> {
  const { result, error } = await stack.rpc(
    'SendMessage',
    {
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] },
      configuration: {
        returnImmediately: true,
        ...(url !== undefined && { taskPushNotificationConfig: { id: 'one', url } }),
      },
    },
    { traceparent: `00-${caller.traceId}-${caller.spanId}-01` },
  );
  assert.equal(error, undefined);
  await stack.until(result.task.id, isCompleted);
  return result.task.id;
}
