/** The approval extension (docs/extensions/approval.md): what a task asks, and the answer to it. */
import type { Json, JsonObject, Message } from '#shared/domain/message.ts';

export const approvalExtension = 'https://longhaul.dev/ext/approval/v1';

export interface ApprovalRequest {
  id: string;
  tool: string;
  arguments: Json;
  argumentsHash: string;
}

export interface Decision {
  request: ApprovalRequest;
  approve: boolean;
  reason: string;
}

/** The requests in a status message. */
export function listRequests(message: Message | undefined): ApprovalRequest[] {
  return (message?.parts ?? []).flatMap(({ data }) => {
    if (typeof data !== 'object' || data === null || Array.isArray(data)) return [];
    const content = data[approvalExtension] as { requests?: ApprovalRequest[] } | undefined;
    return Array.isArray(content?.requests) ? content.requests : [];
  });
}

/** The metadata of the message that sends the decisions, and its text. */
export function createDecisions(decisions: readonly Decision[]): { metadata: JsonObject; text: string } {
  const entries = decisions.map(({ request, approve, reason }): JsonObject => ({
    id: request.id,
    argumentsHash: request.argumentsHash,
    approve,
    ...(reason !== '' && { reason }),
  }));
  const reasons = decisions.map(({ reason }) => reason).filter((reason) => reason !== '');
  const fallback = decisions.every(({ approve }) => approve) ? 'Approved.' : 'Refused.';
  return {
    metadata: { [approvalExtension]: { decisions: entries } },
    text: reasons.length > 0 ? reasons.join(' ') : fallback,
  };
}
