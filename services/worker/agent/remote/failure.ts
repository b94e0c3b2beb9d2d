/** Decides what the failure of a request to another agent means. */
import { A2AError } from '@a2a-js/sdk/errors';
import { ParkedError, RetryableError } from '#shared/domain/errors.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { CredentialsError } from '../errors.ts';
import { RefusedError } from './agent.ts';
import { createCredentialsError, toUnavailable } from './fetch.ts';

const maxErrorChars = 2_000;

/** Statuses of gRPC that are not answers of the agent (google.rpc.Code). */
const unavailable = new Set([4, 8, 10, 13, 14, 15]);
const refusedCredentials = new Set([7, 16]);

export function toFailure(name: string, error: unknown): Error {
  const isKnown = [RefusedError, RetryableError, ParkedError, CredentialsError].some(
    (kind) => error instanceof kind,
  );
  if (isKnown) return error as Error;
  if (isTimeout(error)) return toUnavailable(name, error);
  const status = getGrpcStatus(error);
  if (unavailable.has(status)) return toUnavailable(name, error);
  if (refusedCredentials.has(status)) return createCredentialsError(name);
  const text = errorMessage(error).slice(0, maxErrorChars);
  if (error instanceof A2AError && !isBareStatus(error))
    return new RefusedError(`The agent "${name}" refuses the request: ${text}`, {
      cause: error,
      byAgent: true,
    });
  return new RefusedError(`The agent "${name}" gives an answer that is not valid: ${text}`, { cause: error });
}

/** Whether the reason of a signal is that of `AbortSignal.timeout`. */
export function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError';
}

/** Over HTTP+JSON, the SDK makes an error of A2A of each status: of one without an error in its body, something else answers. */
function isBareStatus({ reason, message }: A2AError): boolean {
  return reason === 'INTERNAL_ERROR' && message.startsWith('HTTP error for ');
}

/**
 * Whether the agent says that it does not have a task. Some say so over gRPC by the status alone. The A2A module of ADK 2.0
 * for TypeScript loads the SDK twice, so that its error of A2A becomes an internal error: only the text is left.
 */
export function isTaskNotFound(error: unknown): boolean {
  if (!(error instanceof A2AError)) return false;
  if (error.reason === 'TASK_NOT_FOUND' || getGrpcStatus(error) === grpcNotFound) return true;
  return error.reason === 'INTERNAL_ERROR' && /\btask not found\b/i.test(error.message);
}

const grpcNotFound = 5;

/** Returns the status of a failure that gRPC reports; 0 for an error of A2A, or of another binding. */
function getGrpcStatus(error: unknown): number {
  if (!(error instanceof A2AError) || error.reason !== 'INTERNAL_ERROR') return 0;
  const { transport, status } = error as A2AError & { transport?: string; status?: number };
  return transport === 'grpc' ? (status ?? 0) : 0;
}
