/**
 * Page tokens of ListTasks: opaque to clients, bound to the query that they continue, and signed, so that a token
 * cannot be made up or carried to another filter (A2A section 3.1.4).
 */
import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ListCursor } from '#shared/db/tasks/list.ts';

export class PageTokens {
  readonly #key: Buffer;

  /** @param secret any secret that all processes of the front door share */
  constructor(secret: KeyObject) {
    this.#key = createHmac('sha256', secret).update('longhaul page tokens').digest();
  }

  /** @param query whatever the pages of one listing have in common: caller and filters */
  encrypt(cursor: ListCursor, query: string): string {
    const content = Buffer.from(JSON.stringify([cursor.statusAt, cursor.id, cursor.total]));
    return Buffer.concat([this.#sign(content, query), content]).toString('base64url');
  }

  /** @throws {RequestMalformedError} for a token that is not one of ours, or of another query */
  open(token: string, query: string): ListCursor {
    const bytes = Buffer.from(token, 'base64url');
    const [signature, content] = [bytes.subarray(0, 16), bytes.subarray(16)];
    if (signature.length < 16 || !timingSafeEqual(signature, this.#sign(content, query))) {
      throw new RequestMalformedError(
        'pageToken is not valid: pass nextPageToken of the page before, with the same filters',
      );
    }
    const [statusAt, id, total] = JSON.parse(content.toString()) as [string, string, number];
    return { statusAt, id, total };
  }

  #sign(content: Buffer, query: string): Buffer {
    return createHmac('sha256', this.#key)
      .update(query)
      .update('\n')
      .update(content)
      .digest()
      .subarray(0, 16);
  }
}
