/** Decides the first call that a task asks its user to approve. */
import type { TestTask } from 'longhaul/testing';
import type { Json } from '#shared/domain/message.ts';

const approvalKey = 'https://longhaul.dev/ext/approval/v1';

interface Content {
  requests: { id: string; argumentsHash: string }[];
}

export function decide(task: TestTask, approve: boolean, reason?: string): void {
  const content = task.message?.parts
    .map(({ data }) => (data as Record<string, unknown> | undefined)?.[approvalKey] as Content | undefined)
    .find((found) => found !== undefined);
  const { id = '', argumentsHash = '' } = content?.requests[0] ?? {};
  const decision: Json = { id, argumentsHash, approve, ...(reason !== undefined && { reason }) };
  task.send([{ text: 'See the decision.' }, { data: { [approvalKey]: { decisions: [decision] } } }]);
}
