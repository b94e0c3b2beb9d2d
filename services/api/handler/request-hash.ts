/** The hash that distinguishes a repeat of a message from another message under the same id. */
import { hash } from 'node:crypto';
import { SendMessageConfiguration, type SendMessageRequest } from '@a2a-js/sdk';
import type { Message } from '#shared/domain/message.ts';

/**
 * Hashes everything that makes two sends equal. Excludes fields that only change how a result is returned.
 */
export function hashRequest(message: Message, request: SendMessageRequest): string {
  const configuration = request.configuration && {
    ...(SendMessageConfiguration.toJSON(request.configuration) as Record<string, unknown>),
    returnImmediately: undefined,
    historyLength: undefined,
  };
  const content = JSON.stringify([message, configuration, request.metadata]);
  return hash('sha256', content, 'base64url');
}
