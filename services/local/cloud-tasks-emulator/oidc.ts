/** Identity tokens as Google signs them for Cloud Tasks, but with a key of this process. */
import { exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose';

const tokenSeconds = 3600;
const reuseMs = 300_000; // Google reuses tokens as well; signing costs more than all the rest of an attempt

export class TokenIssuer {
  // Made at the start, but not waited for: most runs need no token.
  readonly #keys = generateKeyPair('RS256');
  readonly #made = new Map<string, { token: Promise<string>; at: number }>();

  async jwks(): Promise<{ keys: JWK[] }> {
    const { publicKey } = await this.#keys;
    return { keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' }] };
  }

  token(email: string, audience: string): Promise<string> {
    const key = JSON.stringify([email, audience]);
    const now = Date.now();
    const made = this.#made.get(key);
    if (made !== undefined && now < made.at + reuseMs) return made.token;
    if (this.#made.size >= 1000) this.#made.clear();
    const token = this.#sign(email, audience);
    this.#made.set(key, { token, at: now });
    return token;
  }

  async #sign(email: string, audience: string): Promise<string> {
    const { privateKey } = await this.#keys;
    return new SignJWT({ email, email_verified: true, azp: email })
      .setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' })
      .setIssuer('https://accounts.google.com')
      .setSubject(email)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime(`${tokenSeconds}s`)
      .sign(privateKey);
  }
}

const kid = 'cloud-tasks-emulator';
