/** The master key of contents: keys of this process, or one in Cloud KMS. Without either, contents are not encrypted. */
import { isAbsolute } from 'node:path';
import { parseEncryptionKeys, type EncryptionKeys } from '../../crypto/encryption.ts';
import { EnvReader, type Environment } from './env-reader.ts';

export interface ContentsConfig {
  keys: EncryptionKeys | undefined;
  /** `projects/P/locations/L/keyRings/R/cryptoKeys/K`. */
  kmsKey: string | undefined;
  /** Where the wrapped keys of owners are; undefined: in the database. */
  keyStore: { bucket: string } | { directory: string } | undefined;
}

const kmsKeyPattern = /^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/;
const bucketPattern = /^gs:\/\/([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])\/?$/;

export function readContents(reader: EnvReader): ContentsConfig {
  const text = reader.secret('CONTENT_ENCRYPTION_KEYS');
  const kmsKey = reader.optional('CONTENT_KMS_KEY');
  if (text !== undefined && kmsKey !== undefined) {
    reader.problem('CONTENT_ENCRYPTION_KEYS and CONTENT_KMS_KEY are both set: remove one');
  }
  if (kmsKey !== undefined && !kmsKeyPattern.test(kmsKey)) {
    reader.problem(
      'CONTENT_KMS_KEY must be projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version',
    );
  }
  const keyStore = readKeyStore(reader, text !== undefined || kmsKey !== undefined);
  if (text === undefined) return { keys: undefined, kmsKey, keyStore };
  const { keys, problems } = parseEncryptionKeys(text);
  for (const problem of problems) reader.problem(`CONTENT_ENCRYPTION_KEYS: ${problem}`);
  return { keys, kmsKey, keyStore };
}

/** For a command that destroys keys and does not read contents. */
export function readContentsConfig(env: Environment): ContentsConfig {
  const reader = new EnvReader(env);
  const contents = readContents(reader);
  reader.check();
  return contents;
}

function readKeyStore(reader: EnvReader, isEncrypted: boolean): ContentsConfig['keyStore'] {
  const text = reader.optional('CONTENT_KEY_STORE');
  if (text === undefined) return undefined;
  if (!isEncrypted) {
    reader.problem('CONTENT_KEY_STORE needs CONTENT_ENCRYPTION_KEYS or CONTENT_KMS_KEY');
  }
  const bucket = bucketPattern.exec(text)?.[1];
  if (bucket !== undefined) return { bucket };
  if (!isAbsolute(text)) {
    reader.problem(
      'CONTENT_KEY_STORE must be gs:// and the name of a bucket, or the absolute path of a directory',
    );
  }
  return { directory: text };
}
