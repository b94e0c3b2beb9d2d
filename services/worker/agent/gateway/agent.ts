/** A gateway: an agent whose whole behavior is another A2A agent, which its definition names as `a2a` (docs/develop/gateway.md). */
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import type { Agent, CallResult, Turn, TurnOutcome } from '../agent.ts';
import { CredentialsError } from '../errors.ts';
import { canRelay } from './relays.ts';

export const gatewayAgent: Agent = {
  run: async (turn) => {
    if (!canRelay(turn)) throw new FatalError('A gateway runs in a worker only: start it with longhaul dev.');
    try {
      return toOutcome(turn, await turn.relay());
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      // Our caller cannot correct them, and a rotated secret may be on its way.
      const text = 'The agent behind this one refuses the credentials of this service, or they are missing.';
      throw new RetryableError(text, { cause: error });
    }
  },
};

function toOutcome(turn: Turn, result: CallResult): TurnOutcome {
  const { status, taskId, extensions } = result;
  const parts = [...result.message];
  const message = parts.length === 0 ? [{ text: emptyTexts[status] ?? '' }] : parts;
  switch (status) {
    case 'completed':
      if (taskId === undefined && turn.number === 1) return { direct: message };
      return { state: 'TASK_STATE_COMPLETED', ...(parts.length > 0 && { message }) };
    case 'input_required':
      return { state: 'TASK_STATE_INPUT_REQUIRED', message };
    case 'auth_required':
      return {
        state: 'TASK_STATE_AUTH_REQUIRED',
        message,
        ...(extensions && { extensions: [...extensions] }),
      };
    case 'rejected':
      return { state: 'TASK_STATE_REJECTED', message };
    case 'canceled':
      return { state: 'TASK_STATE_CANCELED', message };
    case 'failed':
    case 'refused':
    case 'timed_out':
      return { state: 'TASK_STATE_FAILED', message };
    default:
      return status satisfies never;
  }
}

/** For clients, if the other agent gives no message. */
const emptyTexts: Partial<Record<CallResult['status'], string>> = {
  completed: 'The agent has completed its task without an answer.',
  input_required: 'The agent asks for an answer.',
  auth_required: 'The agent asks for an authorization.',
  rejected: 'The agent has rejected the message.',
  canceled: 'The agent behind this one has canceled its task.',
  failed: 'The agent has failed without a reason.',
};
