/**
 * Page tokens of ListTasks (A2A section 3.1.4) and of other lists. They are opaque to clients and signed together with
 * the query that they continue, so a token cannot be forged or used with other filters. The first encryption key signs,
 * and all verify, so that tokens stay valid while keys are rotated.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { EncryptionKeys } from '#shared/crypto/encryption.ts';
import type { ListCursor } from '#shared/db/tasks/list.ts';

export class PageTokens {
  #keys: readonly [Buffer, ...Buffer[]];

  constructor(keys: EncryptionKeys) {
    this.#keys = derive(keys);
  }

  /** Replaces the keys from now on. */
  useKeys(keys: EncryptionKeys): void {
    this.#keys = derive(keys);
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
    return Buffer.concat([digest(this.#keys[0], content, query), content]).toString('base64url');
  }

  /** @throws {RequestMalformedError} if the token was not signed here, or belongs to another query */
  verifyPlace(token: string, query: string): (string | number)[] {
    const bytes = Buffer.from(token, 'base64url');
    const [signature, content] = [bytes.subarray(0, 16), bytes.subarray(16)];
    const isSigned = this.#keys.some(
      (key) => signature.length === 16 && timingSafeEqual(signature, digest(key, content, query)),
    );
    if (!isSigned) {
      throw new RequestMalformedError(
        'pageToken is not valid: pass nextPageToken of the previous page, with the same filters',
      );
    }
    return JSON.parse(content.toString()) as (string | number)[];
  }
}

function derive([first, ...others]: EncryptionKeys): [Buffer, ...Buffer[]] {
  const toKey = ({ key }: EncryptionKeys[0]): Buffer =>
    createHmac('sha256', key).update('longhaul page tokens').digest();
  return [toKey(first), ...others.map(toKey)];
}

function digest(key: Buffer, content: Buffer, query: string): Buffer {
  return createHmac('sha256', key).update(query).update('\n').update(content).digest().subarray(0, 16);
}
