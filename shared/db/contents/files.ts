/**
 * Files, encrypted in pieces, so that one can be read without the rest. The number of a piece and whether it is the last one are
 * authenticated: pieces cannot be reordered or cut off.
 *
 *   LHE1 · id of the data key (16 bytes) · piece 0 · piece 1 · … each as nonce, ciphertext, tag
 */
import { cipherOverhead, decryptContent, encryptContent, type DataKey } from '../../crypto/content-cipher.ts';
import { areContentsEncrypted, getContentKey } from './codec.ts';

const magic = Buffer.from('LHE1');
const headerBytes = magic.length + 16;
const pieceBytes = 1024 * 1024;
const sealedPieceBytes = pieceBytes + cipherOverhead;

export function sealFile(key: DataKey, taskId: string, content: Buffer): Buffer {
  const id = Buffer.from(key.id.replaceAll('-', ''), 'hex');
  const count = Math.max(1, Math.ceil(content.length / pieceBytes));
  const pieces = Array.from({ length: count }, (_none, index) =>
    encryptContent(
      key,
      toPlace(taskId, index, count),
      content.subarray(index * pieceBytes, (index + 1) * pieceBytes),
    ),
  );
  return Buffer.concat([magic, id, ...pieces]);
}

export interface SealedFile {
  /** Bytes of the content. */
  size: number;
  /** Reads the content in pieces. */
  pieces: () => AsyncGenerator<Buffer, void, undefined>;
}

/** @returns undefined if the file is not encrypted */
export async function openSealedFile(
  taskId: string,
  stored: { size: number; read: (from: number, length: number) => Promise<Buffer> },
): Promise<SealedFile | undefined> {
  const header = await stored.read(0, headerBytes);
  if (header.length < headerBytes || !header.subarray(0, magic.length).equals(magic)) return undefined;
  const id = header
    .toString('hex', magic.length)
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  const key = await getContentKey(id);
  const count = Math.ceil((stored.size - headerBytes) / sealedPieceBytes);
  return {
    size: stored.size - headerBytes - count * cipherOverhead,
    pieces: async function* () {
      for (let index = 0; index < count; index += 1) {
        const sealed = await stored.read(headerBytes + index * sealedPieceBytes, sealedPieceBytes);
        yield decryptContent(key, toPlace(taskId, index, count), sealed);
      }
    },
  };
}

/** Returns the content of a file that was read as a whole. */
export async function openStoredFile(taskId: string, stored: Buffer): Promise<Buffer> {
  if (!areContentsEncrypted()) return stored;
  const read = (from: number, length: number): Promise<Buffer> =>
    Promise.resolve(stored.subarray(from, from + length));
  const sealed = await openSealedFile(taskId, { size: stored.length, read });
  if (sealed === undefined) return stored;
  const pieces: Buffer[] = [];
  for await (const piece of sealed.pieces()) pieces.push(piece);
  return Buffer.concat(pieces);
}

function toPlace(taskId: string, index: number, count: number) {
  return { kind: 'file' as const, taskId, piece: `${index}${index === count - 1 ? ' last' : ''}` };
}
