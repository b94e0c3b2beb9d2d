/**
 * The challenge of webhook receivers (docs/use/webhooks.md): before a config is stored, its URL must prove that it expects webhooks
 * of this agent, by answering a POST with the random text that it contains. So callers cannot direct webhooks at others.
 * A URL that has answered is not asked again by this process for an hour.
 */
import { randomBytes } from 'node:crypto';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { request, type Agent } from 'undici';
import { createGuardedAgent } from '#shared/net/guarded-agent.ts';
import type { WebhookGuardConfig } from '#shared/runtime/config/webhook-guard.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { checkReceiver } from '#shared/webhooks/destinations.ts';
import { TooManyRequestsError } from '../../handler/errors.ts';

/** The type of the body. */
export const challengeType = 'longhaul.webhook.challenge';

const timeoutMs = 5_000;
const knownMs = 3_600_000;
/** Beyond this number, the URL that was asked first is forgotten. */
const maxKnown = 10_000;
/** Challenges of one owner at the same time. */
const maxOpen = 10;
const maxAnswerBytes = 1024;

/** @throws {RequestMalformedError} if the URL is not valid, or does not answer the challenge */
export type VerifyReceiver = (url: string, owner: string) => Promise<void>;

export interface ReceiverCheckParts {
  webhookGuard: WebhookGuardConfig;
  log: Logger;
}

export function createReceiverCheck({ webhookGuard, log }: ReceiverCheckParts): VerifyReceiver {
  const { allowHosts } = webhookGuard;
  const agent = createGuardedAgent({ allowHosts, timeoutMs, keepAlive: false });
  const known = new Map<string, number>();
  const open = new Map<string, number>();

  async function ask(url: URL, owner: string): Promise<void> {
    const running = open.get(owner) ?? 0;
    if (running >= maxOpen) {
      throw new TooManyRequestsError(`${maxOpen} of your webhooks are being verified: try again in 5 s`, 5);
    }
    open.set(owner, running + 1);
    try {
      const problem = await challenge(agent, url, log);
      if (problem === undefined) return;
      throw new RequestMalformedError(
        `the receiver at url was not verified: ${problem}. It must answer the challenge with its text within ${timeoutMs / 1000} s`,
      );
    } finally {
      const left = (open.get(owner) ?? 1) - 1;
      if (left === 0) open.delete(owner);
      else open.set(owner, left);
    }
  }

  return async (text, owner) => {
    const checked = checkReceiver(text, owner, webhookGuard);
    // Storing the config reports the problem.
    if ('problem' in checked) return;
    const key = `${owner}\n${checked.url.href}`;
    const askedAt = known.get(key);
    if (askedAt !== undefined && performance.now() - askedAt < knownMs) return;
    await ask(checked.url, owner);
    known.delete(key);
    known.set(key, performance.now());
    const [oldest] = known.keys();
    if (known.size > maxKnown && oldest !== undefined) known.delete(oldest);
  };
}

/** Returns the problem of the answer, without addresses. */
async function challenge(agent: Agent, url: URL, log: Logger): Promise<string | undefined> {
  const text = randomBytes(24).toString('base64url');
  try {
    const { statusCode, body } = await request(url, {
      method: 'POST',
      dispatcher: agent,
      headers: { 'content-type': 'application/json', 'user-agent': 'longhaul' },
      body: JSON.stringify({ type: challengeType, challenge: text }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    let answer = '';
    for await (const chunk of body.setEncoding('utf8')) {
      answer += String(chunk);
      if (answer.length > maxAnswerBytes) break;
    }
    if (statusCode !== 200) return `it answered with status ${statusCode}`;
    const isShort = answer.length <= maxAnswerBytes;
    return isShort && readAnswer(answer) === text ? undefined : 'its answer is not the challenge';
  } catch (error) {
    log.info({ host: url.host, error: errorMessage(error) }, 'webhook receiver not verified');
    return 'it did not answer';
  }
}

/** The text itself, or JSON with the field `challenge`. */
function readAnswer(answer: string): unknown {
  try {
    return (JSON.parse(answer) as { challenge?: unknown } | null)?.challenge;
  } catch {
    return answer.trim();
  }
}
