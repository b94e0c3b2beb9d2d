/** Errors of MCP. The SDK sends `code`, `message` and `data` of an error that a handler throws. */
import { A2AError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { CallToolResult } from '@modelcontextprotocol/server';
import { describeFailure } from '#shared/mcp/answer.ts';
import { ToolError } from '#shared/mcp/errors.ts';
import { ForbiddenError, UnauthenticatedError } from '../auth/errors.ts';
import { HttpRequestError, InternalError, RetryLaterError } from '../handler/errors.ts';
import { toHttpStatus, type FailureFormat } from '../http/failure.ts';
import { ArgumentsError } from './tools/arguments.ts';
import { tasksExtension } from './protocol.ts';

/** JSON-RPC 2.0, section 5.1; MCP 2026-07-28, basic, "Error Codes". */
export const errorCode = {
  parse: -32_700,
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  invalidParams: -32_602,
  internal: -32_603,
  missingCapability: -32_021,
} as const;

export class McpError extends A2AError {
  override readonly name = 'McpError';
  readonly code: number;
  readonly data: unknown;
  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

export function createMissingTasksError(): McpError {
  return new McpError(errorCode.missingCapability, 'Missing required client capability', {
    requiredCapabilities: { extensions: { [tasksExtension]: {} } },
  });
}

/** An error that HTTP has a status for, with headers such as `Retry-After`. */
export function hasStatus(error: unknown): boolean {
  return (
    error instanceof RetryLaterError ||
    error instanceof ForbiddenError ||
    error instanceof UnauthenticatedError
  );
}

/** Converts the error of an operation for a method of MCP. Codes outside of JSON-RPC's are statuses of HTTP. */
export function toMcpError(error: unknown): Error {
  if (error instanceof McpError) return error;
  if (error instanceof TaskNotFoundError) {
    return new McpError(errorCode.invalidParams, `Failed to retrieve task: ${error.message}`);
  }
  if (error instanceof A2AError || error instanceof ArgumentsError) {
    return new McpError(errorCode.invalidParams, error.message);
  }
  if (error instanceof RetryLaterError) {
    const { statusCode, message, retryAfterSeconds } = error;
    return new McpError(statusCode, message, { retryAfterSeconds });
  }
  if (
    error instanceof ForbiddenError ||
    error instanceof UnauthenticatedError ||
    error instanceof HttpRequestError
  ) {
    return new McpError(error.statusCode, error.message);
  }
  return new McpError(
    errorCode.internal,
    error instanceof InternalError ? error.message : InternalError.text,
  );
}

/** Returns the result of a tool; errors that the model can correct are results too (MCP, server/tools, "Error Handling"). */
export async function withToolErrors<T>(run: () => Promise<T>): Promise<T | CallToolResult> {
  try {
    return await run();
  } catch (error) {
    const isForModel =
      error instanceof A2AError || error instanceof ArgumentsError || error instanceof ToolError;
    if (!isForModel || error instanceof McpError) throw error;
    // Errors of operations name the method of A2A, which the model cannot call.
    const text = describeFailure(error).replace('GetTask', 'get_task');
    return { content: [{ type: 'text', text }], isError: true };
  }
}

/** @param id of the request, if it could be read */
export function createMcpFailure(id: unknown = null): FailureFormat {
  return {
    contentType: 'application/json',
    toStatus: (error) => (error instanceof McpError ? 400 : toHttpStatus(error)),
    toBody: (error) => {
      const { code, message, data } = toMcpError(error) as McpError;
      return { jsonrpc: '2.0', id, error: { code, message, ...(data !== undefined && { data }) } };
    },
  };
}
