/**
 * Reports the ends of interactions to the addresses that their requests name, or to that of the project, as Gemini does
 * (ai.google.dev/gemini-api/docs/webhooks, 2026-06-22): thin events, at least once. The first are signed with an RS256 JWT under
 * a published JWKS, the second with HMAC. Google does not document the claims; here the issuer is the API's address, and the
 * audience that of the webhook.
 */
import { createHmac, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

export const webhookIssuer = 'https://generativelanguage.googleapis.com';

const keyId = 'offline-webhooks';
const lifetimeSeconds = 300;
/** Google repeats for 24 hours. */
const attempts = 5;
const firstDelayMs = 200;

/** `lost`: none is sent. `forged`: signed with another key. */
export type WebhookFault = 'lost' | 'doubled' | 'forged';

type Sign = (event: object, id: string, timestamp: string) => string | Promise<string>;

function createEvent(type: string, interaction: string): object {
  return { type, version: 'v1', timestamp: new Date().toISOString(), data: { id: interaction } };
}

/** Signs an event as Standard Webhooks describes. */
export function signForProject(secret: string, id: string, timestamp: string, body: string): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

export class WebhookSender {
  /** Applies to all webhooks from now on. */
  fault: WebhookFault | undefined;
  /** The webhook that is registered for the project. */
  project: { uri: string; secret: string } | undefined;
  /** The HTTP statuses of the receivers, in order. */
  readonly statuses: number[] = [];
  #keys: Promise<{ privateKey: CryptoKey; jwk: JWK }> | undefined;

  async jwks(): Promise<{ keys: JWK[] }> {
    return { keys: [(await this.#getKeys()).jwk] };
  }

  /** Sends to an address that a call names. */
  async send(uri: string, type: string, interaction: string): Promise<void> {
    await this.#sendEvent(uri, createEvent(type, interaction), (event) => this.sign(uri, event));
  }

  /** Sends to the webhook of the project, if one is registered. */
  async sendToProject(type: string, interaction: string, metadata: object | undefined): Promise<void> {
    if (this.project === undefined) return;
    const { uri, secret } = this.project;
    const event = { ...createEvent(type, interaction), ...(metadata && { user_metadata: metadata }) };
    await this.#sendEvent(uri, event, (sent, id, timestamp) =>
      signForProject(
        this.fault === 'forged' ? 'whsec_Zm9yZ2Vk' : secret,
        id,
        timestamp,
        JSON.stringify(sent),
      ),
    );
  }

  async #sendEvent(uri: string, event: object, sign: Sign): Promise<void> {
    if (this.fault === 'lost') return;
    const times = this.fault === 'doubled' ? 2 : 1;
    const id = `msg_${randomUUID()}`;
    for (let sent = 0; sent < times; sent += 1) await this.#deliver(uri, event, id, sign);
  }

  async #deliver(uri: string, event: object, id: string, sign: Sign): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      if (attempt > 0) await sleep(firstDelayMs * 2 ** attempt, undefined, { ref: false });
      const status = await this.#post(uri, event, id, sign).catch(() => 0);
      this.statuses.push(status);
      // Gemini repeats every failure; a refusal of a forged one would not change.
      if ((status >= 200 && status < 300) || this.fault === 'forged') return;
    }
  }

  async #post(uri: string, event: object, id: string, sign: Sign): Promise<number> {
    const timestamp = String(Math.floor(Date.now() / 1000));
    const response = await fetch(uri, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': await sign(event, id, timestamp),
      },
      body: JSON.stringify(event),
    });
    await response.arrayBuffer();
    return response.status;
  }

  /** @param claims replace those of a valid signature */
  async sign(uri: string, event: object, claims: object = {}): Promise<string> {
    const { privateKey } = this.fault === 'forged' ? await generateKeyPair('RS256') : await this.#getKeys();
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({
      ...event,
      iss: webhookIssuer,
      aud: uri,
      iat: now,
      exp: now + lifetimeSeconds,
      ...claims,
    })
      .setProtectedHeader({ alg: 'RS256', kid: keyId, typ: 'JWT' })
      .sign(privateKey);
  }

  #getKeys(): Promise<{ privateKey: CryptoKey; jwk: JWK }> {
    this.#keys ??= generateKeyPair('RS256').then(async ({ privateKey, publicKey }) => ({
      privateKey,
      jwk: { ...(await exportJWK(publicKey)), kid: keyId, alg: 'RS256', use: 'sig' },
    }));
    return this.#keys;
  }
}
