/**
 * Page tokens of ListTasks (A2A section 3.1.4) and of other lists. They are opaque to clients and signed together with
 * the query that they continue, so a token cannot be forged or used with other filters.
 */
import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ListCursor } from '#shared/db/tasks/list.ts';

export class PageTokens {
  readonly #key: Buffer;

  /** @param secret any secret that all processes of the api service share */
  constructor(secret: KeyObject) {
    this.#key = createHmac('sha256', secret).update('longhaul page tokens').digest();
  }

  /** @param query identifies the listing: its caller and filters */
  sign({ statusAt, id, total }: ListCursor, query: string): string {
    return this.signPlace([statusAt, id, total], query);
  }

  /** @throws {RequestMalformedError} if the token was not signed here, or belongs to another query */
  verify(token: string, query: string): ListCursor {
    const [statusAt, id, total] = this.verifyPlace(token, query) as [string, string, number];
    return { statusAt, id, total };
  }

  /**
   * Signs a place in a list.
   *
   * @param query also identifies the kind of the place
   */
  signPlace(place: readonly (string | number)[], query: string): string {
    const content = Buffer.from(JSON.stringify(place));
    return Buffer.concat([this.#digest(content, query), content]).toString('base64url');
  }

  /** @throws {RequestMalformedError} if the token was not signed here, or belongs to another query */
  verifyPlace(token: string, query: string): (string | number)[] {
    const bytes = Buffer.from(token, 'base64url');
    const [signature, content] = [bytes.subarray(0, 16), bytes.subarray(16)];
    if (signature.length < 16 || !timingSafeEqual(signature, this.#digest(content, query))) {
      throw new RequestMalformedError(
        'pageToken is not valid: pass nextPageToken of the previous page, with the same filters',
      );
    }
    return JSON.parse(content.toString()) as (string | number)[];
  }

  #digest(content: Buffer, query: string): Buffer {
    return createHmac('sha256', this.#key)
      .update(query)
      .update('\n')
      .update(content)
      .digest()
      .subarray(0, 16);
  }
}
