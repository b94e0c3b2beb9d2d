/** Answers requests for approval (docs/extensions/approval.md). */
import type { ApprovalRequest, Decision } from '#shared/agent/approval.ts';
import { approvalExtension } from '#shared/agent/approval-extension.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Task } from '../task.ts';

export interface ApprovalDecision {
  approve: boolean;
  /** For the model. */
  reason?: string;
  /** The request to decide. Default: all that are pending. */
  id?: string;
}

/** Returns the requests that a task waits for, with the tools and their arguments. */
export function getApprovalRequests({ status }: Task): ApprovalRequest[] {
  const parts = status.state === 'TASK_STATE_AUTH_REQUIRED' ? (status.message?.parts ?? []) : [];
  return parts.flatMap(({ data }) => {
    const content = (data as JsonObject | null | undefined)?.[approvalExtension];
    return (content as { requests?: ApprovalRequest[] } | undefined)?.requests ?? [];
  });
}

/** @throws {Error} if the task waits for no such approval */
export function createDecisions(
  task: Task,
  { approve, reason, id }: ApprovalDecision,
): { metadata: JsonObject; text: string } {
  const requests = getApprovalRequests(task).filter((request) => id === undefined || request.id === id);
  if (requests.length === 0) {
    const which = id === undefined ? 'no approval' : `no approval ${JSON.stringify(id)}`;
    throw new Error(`The task ${task.id} waits for ${which}: its state is ${task.status.state}.`);
  }
  const decisions = requests.map((request): Decision => ({
    id: request.id,
    argumentsHash: request.argumentsHash,
    approve,
    ...(reason !== undefined && { reason }),
  }));
  return {
    metadata: { [approvalExtension]: { decisions } },
    text: reason ?? (approve ? 'Approved.' : 'Refused.'),
  };
}
