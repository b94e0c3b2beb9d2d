/**
 * The identity tokens of pushes: signed like Google's (RS256, the claims that Cloud Run and the worker check), with a
 * key made when it is first needed, so that starting stays quick. The public key is served as a JWK set.
 */
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

const LIFETIME_S = 3600;
const KEY_ID = 'local-pubsub';

export class TokenIssuer {
  #keys: Promise<{ privateKey: CryptoKey; jwk: JWK }> | undefined;
  readonly #tokens = new Map<string, { token: Promise<string>; renewAt: number }>();

  /** A token for `audience` in the name of the service account; one token serves many pushes, as with Google. */
  token(email: string, audience: string): Promise<string> {
    const key = `${email} ${audience}`;
    const known = this.#tokens.get(key);
    if (known && known.renewAt > Date.now()) return known.token;
    const token = this.#sign(email, audience);
    this.#tokens.set(key, { token, renewAt: Date.now() + (LIFETIME_S * 1000) / 2 });
    return token;
  }

  async jwks(): Promise<{ keys: JWK[] }> {
    const { jwk } = await this.#makeKeys();
    return { keys: [jwk] };
  }

  async #sign(email: string, audience: string): Promise<string> {
    const { privateKey } = await this.#makeKeys();
    return new SignJWT({ email, email_verified: true, azp: email })
      .setProtectedHeader({ alg: 'RS256', kid: KEY_ID, typ: 'JWT' })
      .setIssuer('https://accounts.google.com')
      .setAudience(audience)
      .setSubject(email)
      .setIssuedAt()
      .setExpirationTime(`${LIFETIME_S}s`)
      .sign(privateKey);
  }

  #makeKeys(): Promise<{ privateKey: CryptoKey; jwk: JWK }> {
    this.#keys ??= generateKeyPair('RS256').then(async ({ privateKey, publicKey }) => ({
      privateKey,
      jwk: { ...(await exportJWK(publicKey)), kid: KEY_ID, alg: 'RS256', use: 'sig' },
    }));
    return this.#keys;
  }
}
