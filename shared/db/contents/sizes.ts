/**
 * Sizes of stored JSON. Statements measure what is stored, and limits are those of contents: an encrypted value is a third larger,
 * and has an envelope. Without encryption, both are the same.
 */
import { cipherOverhead } from '../../crypto/content-cipher.ts';
import { areContentsEncrypted } from './codec.ts';

/** Bytes of `{"enc":"1.<id of the data key>."}`. */
const envelopeBytes = 49;
/** Room for the envelopes of as many values as an answer may have. */
const envelopesBytes = 128 * 1024;

/** Returns how much may be stored for contents of at most `bytes`. */
export function toStoredBytes(bytes: number): number {
  return areContentsEncrypted() ? Math.ceil((bytes * 4) / 3) + envelopesBytes : bytes;
}

/**
 * Returns the bytes of contents that take so many when they are stored.
 *
 * @param values how many
 */
export function toContentBytes(stored: number, values = 1): number {
  if (!areContentsEncrypted() || stored === 0) return stored;
  return Math.max(0, Math.floor(((stored - values * envelopeBytes) * 3) / 4) - values * cipherOverhead);
}
