/** Loads the keys that must survive a restart. Creates them on first use in the data directory. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Returns the value of WEBHOOK_SIGNING_KEYS. Webhook receivers keep the public key. */
export function loadSigningKeys(dir: string): string {
  return loadOrCreate(path.join(dir, 'webhook-signing-keys.json'), () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const key = { ...privateKey.export({ format: 'jwk' }), kid: `local-${randomBytes(6).toString('hex')}` };
    return JSON.stringify({ keys: [key] });
  });
}

/** Returns the value of ENCRYPTION_KEYS. Stored webhook credentials are encrypted with it. */
export function loadEncryptionKey(dir: string): string {
  return loadOrCreate(path.join(dir, 'encryption.key'), () => `local:${randomBytes(32).toString('base64')}`);
}

function loadOrCreate(file: string, create: () => string): string {
  if (!existsSync(file)) writeFileSync(file, `${create()}\n`, { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}
