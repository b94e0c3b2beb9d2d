/** Turns the encryption of contents on, if it is configured. */
import { setTimeout } from 'node:timers/promises';
import { createLocalMasterKey, type KeyStore, type MasterKey } from '../../crypto/content-cipher.ts';
import { createKeyDirectory } from '../../crypto/key-directory.ts';
import { MasterKeyError } from '../../domain/errors.ts';
import { createKeyBucket } from '../../gcp/key-bucket.ts';
import { createKmsMasterKey } from '../../gcp/kms.ts';
import type { ContentsConfig } from '../../runtime/config/contents.ts';
import { NotReadyError } from '../../runtime/health.ts';
import type { Db } from '../client/pool.ts';
import { checkContentKeys } from './check.ts';
import { useContentKeys } from './codec.ts';
import { createContentKeys, type ContentKeys, type KeyParts } from './keys.ts';

/** How often a process with a wrong key looks whether that has changed. */
const retryMs = 2_000;

/** Resolves when stored contents can be read, or when that cannot be checked, or `signal` aborts. */
export async function untilReadable(check: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await check();
      return;
    } catch (error) {
      if (!(error instanceof NotReadyError)) return;
    }
    await setTimeout(retryMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Without a master key, another process may be the first to have one. */
const checkAgainMs = 10_000;

/**
 * A process without a master key stores nothing in clear next to encrypted contents, and shows none of those: once the
 * check has found keys in the database, all reads and writes of contents fail with MasterKeyError.
 *
 * @returns a check for readiness, to be made before the first call. With a master key, it rests once it has succeeded
 */
export function openContents(db: Db, config: ContentsConfig): () => Promise<void> {
  const parts = createKeyParts(config);
  useContentKeys(parts && createContentKeys(db, parts));
  let checkedAt = -Infinity;
  return async () => {
    if (performance.now() - checkedAt < checkAgainMs) return;
    try {
      await checkContentKeys(db, parts);
    } catch (error) {
      if (parts === undefined && error instanceof NotReadyError) useContentKeys(createLostKeys(error));
      throw error;
    }
    if (parts === undefined) useContentKeys(undefined);
    checkedAt = parts === undefined ? performance.now() : Infinity;
  };
}

function createLostKeys({ message }: Error): ContentKeys {
  const refuse = (): Promise<never> => Promise.reject(new MasterKeyError(message));
  return { getOwn: refuse, get: refuse, getOwners: refuse };
}

/** @returns undefined: contents are not encrypted */
export function createKeyParts(config: ContentsConfig): KeyParts | undefined {
  const master = createMasterKey(config);
  return master && { master, store: createKeyStore(config) };
}

function createMasterKey({ keys, kmsKey }: ContentsConfig): MasterKey | undefined {
  if (keys !== undefined) return createLocalMasterKey(keys);
  return kmsKey === undefined ? undefined : createKmsMasterKey(kmsKey);
}

/** @returns undefined: the database has the wrapped keys */
export function createKeyStore({ keyStore }: ContentsConfig): KeyStore | undefined {
  if (keyStore === undefined) return undefined;
  return 'bucket' in keyStore ? createKeyBucket(keyStore.bucket) : createKeyDirectory(keyStore.directory);
}
