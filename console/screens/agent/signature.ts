/**
 * Verifies the signature of the card (A2A section 8.4) with the keys of the browser: JWS over the card without its
 * signatures, in the form of RFC 8785. The key set must be the agent's own, which the page may read.
 */
import { request } from '../../api/http.ts';
import { basePath } from '../../api/session.ts';
import { toCanonicalJson } from '../../lib/canonical-json.ts';

export interface Verification {
  result: 'unsigned' | 'valid' | 'invalid' | 'unknown';
  detail: string;
}

interface Header {
  alg?: string;
  kid?: string;
}

const algorithms: Readonly<
  Record<
    string,
    { import: EcKeyImportParams | { name: 'Ed25519' }; verify: EcdsaParams | { name: 'Ed25519' } }
  >
> = {
  ES256: { import: { name: 'ECDSA', namedCurve: 'P-256' }, verify: { name: 'ECDSA', hash: 'SHA-256' } },
  EdDSA: { import: { name: 'Ed25519' }, verify: { name: 'Ed25519' } },
};

export async function verifyCard(address: string): Promise<Verification> {
  const card = await readJson(address);
  const { signatures, ...document } = card as { signatures?: { protected: string; signature: string }[] };
  const [entry] = signatures ?? [];
  if (entry === undefined) return { result: 'unsigned', detail: 'Set CARD_SIGNING_KEY to sign it.' };
  const { alg = '', kid = '' } = JSON.parse(new TextDecoder().decode(decode(entry.protected))) as Header;
  const algorithm = algorithms[alg];
  if (algorithm === undefined)
    return { result: 'unknown', detail: `The browser does not know the algorithm ${alg}.` };
  const { keys } = (await readJson(`${basePath}/.well-known/jwks.json`)) as {
    keys: (JsonWebKey & { kid?: string })[];
  };
  const jwk = keys.find((key) => key.kid === kid);
  if (jwk === undefined) return { result: 'unknown', detail: `The agent does not publish the key ${kid}.` };
  const { use: _use, alg: _alg, ...plain } = jwk;
  const key = await crypto.subtle.importKey('jwk', plain, algorithm.import, false, ['verify']);
  const payload = encode(new TextEncoder().encode(toCanonicalJson(document)));
  const signed = new TextEncoder().encode(`${entry.protected}.${payload}`);
  const valid = await crypto.subtle.verify(algorithm.verify, key, decode(entry.signature), signed);
  return { result: valid ? 'valid' : 'invalid', detail: `${alg}, key ${kid}` };
}

async function readJson(address: string): Promise<unknown> {
  const { response, entry } = await request(address);
  const text = await response.text();
  entry.finish(text);
  return JSON.parse(text);
}

function decode(base64url: string): Uint8Array<ArrayBuffer> {
  const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (char) => char.codePointAt(0) ?? 0);
}

function encode(bytes: Uint8Array): string {
  const binary = Array.from(bytes, (byte) => String.fromCodePoint(byte)).join('');
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
