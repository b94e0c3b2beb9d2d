/**
 * Issues identity tokens like those of Google (RS256, with the claims that Cloud Run and the services check),
 * signed with a key of this process.
 */
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

const lifetimeSeconds = 3600;
const reuseMs = 300_000;
const maxCachedTokens = 1000;

export class TokenIssuer {
  readonly #keyId: string;
  /** Created on first use: few runs need tokens, and generating the key delays startup. */
  #keys: Promise<{ privateKey: CryptoKey; jwk: JWK }> | undefined;
  readonly #tokens = new Map<string, { token: Promise<string>; renewAt: number }>();

  constructor(keyId: string) {
    this.#keyId = keyId;
  }

  async jwks(): Promise<{ keys: JWK[] }> {
    const { jwk } = await this.#getKeys();
    return { keys: [jwk] };
  }

  /**
   * Returns a token of the service account for `audience`. Like Google, reuses a token for several requests.
   */
  token(email: string, audience: string): Promise<string> {
    const key = JSON.stringify([email, audience]);
    const cached = this.#tokens.get(key);
    if (cached !== undefined && cached.renewAt > Date.now()) return cached.token;
    if (this.#tokens.size >= maxCachedTokens) this.#tokens.clear();
    const token = this.#sign(email, audience);
    this.#tokens.set(key, { token, renewAt: Date.now() + reuseMs });
    return token;
  }

  async #sign(email: string, audience: string): Promise<string> {
    const { privateKey } = await this.#getKeys();
    return new SignJWT({ email, email_verified: true, azp: email })
      .setProtectedHeader({ alg: 'RS256', kid: this.#keyId, typ: 'JWT' })
      .setIssuer('https://accounts.google.com')
      .setSubject(email)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime(`${lifetimeSeconds}s`)
      .sign(privateKey);
  }

  #getKeys(): Promise<{ privateKey: CryptoKey; jwk: JWK }> {
    this.#keys ??= generateKeyPair('RS256').then(async ({ privateKey, publicKey }) => ({
      privateKey,
      jwk: { ...(await exportJWK(publicKey)), kid: this.#keyId, alg: 'RS256', use: 'sig' },
    }));
    return this.#keys;
  }
}
