/** The errors of an MCP server as clients and the model get them. */
import { SdkError, SdkErrorCode } from '@modelcontextprotocol/client';
import { RetryableError } from '#shared/domain/errors.ts';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { CredentialsError } from '../errors.ts';
import { findBusyError, isRefusal, type Loss } from './failures.ts';

/** @param name of the server */
export function toListError(error: unknown, name: string): Error {
  if (error instanceof CredentialsError) return error;
  if (isRefusal(error)) return toCredentialsError(error, name);
  return toUnavailableError(error, name);
}

/**
 * Returns an error for the model; or for clients if the credentials are refused; or a RetryableError if the call did
 * not reach the server, unless the server is optional.
 */
export function toCallError(
  error: unknown,
  loss: Loss | undefined,
  name: string,
  { timeoutSeconds, maxSeconds, optional = false }: McpServerDefinition,
): Error {
  if (error instanceof CredentialsError) return error;
  if (isRefusal(error)) return toCredentialsError(error, name);
  const busy = findBusyError(error);
  if (busy !== undefined) {
    const wait = busy.retryAfterMs === undefined ? '' : ` It asks to wait ${busy.retryAfterMs / 1000} s.`;
    return new Error(`The tool was not called, because its server is busy.${wait}`, { cause: error });
  }
  if (loss === 'during_call') {
    return new Error(
      'The connection to the tool was lost during the call. It is unknown whether the call took effect.',
      { cause: error },
    );
  }
  if (loss === 'before_call') {
    return optional
      ? new Error('The tool is currently unavailable.', { cause: error })
      : toUnavailableError(error, name);
  }
  if (error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout) {
    const message = error.message.includes('Maximum total timeout')
      ? `The tool reported progress, but did not finish within ${maxSeconds} s.`
      : `The tool did not answer within ${timeoutSeconds} s.`;
    return new Error(message, { cause: error });
  }
  if (error instanceof SdkError && error.code === SdkErrorCode.InvalidResult) {
    const message =
      'The tool was called, but its result cannot be read. Do not assume that it had no effect.';
    return new Error(message, { cause: error });
  }
  return error instanceof Error ? error : new Error(String(error));
}

function toUnavailableError(cause: unknown, name: string): RetryableError {
  return new RetryableError(`The MCP server "${name}" is currently unavailable.`, { cause });
}

function toCredentialsError(cause: unknown, name: string): CredentialsError {
  return new CredentialsError(
    `The MCP server "${name}" refuses the credentials of this agent. When its operator has corrected them, send any message to continue.`,
    { cause },
  );
}
