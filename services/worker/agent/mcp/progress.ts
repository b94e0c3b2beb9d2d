/** Shows the progress of an MCP call as a text for clients. */
import type { Progress } from '@modelcontextprotocol/client';

export function describeProgress({ progress, total, message }: Progress): string {
  const count = total === undefined ? `${progress}` : `${progress} of ${total}`;
  return message === undefined || message === '' ? count : `${message} (${count})`;
}
