/**
 * Waits for calls of the model that run at Google (docs/gemini.md). For the Gemini agent, not for agents in code.
 *
 *   recorded as open ─▶ suspended ──due, or reported by a webhook──▶ polled ──ended──▶ recorded as ended
 *                          ▲                                           │
 *                          └──────────due again, later each time───────┘
 */
import { randomBytes } from 'node:crypto';
import type { NewStep, NewWait } from '#shared/db/turns/write.ts';
import { createGeminiWebhookUrl, getPollSeconds } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { OpenWait, Waits } from '../turn/waits.ts';
import type { Turn } from './agent.ts';

export interface ModelWait {
  /** Where Gemini reports the end of the call. Undefined: nowhere, the call is only polled. */
  webhookUrl: string | undefined;
  /** The id of a call that Gemini has reported before an earlier run could record it. */
  reported: string | undefined;
  /**
   * Resolves when the call has ended. Until then, the turn is suspended.
   *
   * @param poll whether the call has ended, at this age. It runs after each report, and at times that grow with the age
   */
  ended(poll: (ageSeconds: number) => Promise<boolean>): Promise<void>;
}

export interface ModelWaits {
  /** Records the intent to call the model. The wait is a step of this name. */
  waitForModel(name: string): Promise<ModelWait>;
}

/** Turns of workers can wait for the model; other implementations of a turn may not. */
export function canWaitForModel<T extends object>(turn: T): turn is T & ModelWaits {
  return 'waitForModel' in turn;
}

export type ModelWaitingTurn = Turn & ModelWaits;

interface ModelWaitParts {
  waits: Waits;
  store: (step: NewStep) => Promise<void>;
  /** Base URL of webhooks; undefined: there are none. */
  publicUrl: string | undefined;
}

/** @throws {FatalError} if the record of the turn has another step here */
export async function openModelWait(name: string, parts: ModelWaitParts): Promise<ModelWait> {
  const { waits, publicUrl } = parts;
  const { identity, earlier } = waits.reach(name, 'model');
  const { wait: recorded, token: recordedToken } = earlier?.wait ?? {};
  const reported = recorded?.kind === 'model' ? recorded.interaction : undefined;
  if (earlier?.finished === true) return { webhookUrl: undefined, reported, ended: async () => undefined };
  const token = recordedToken ?? randomBytes(32).toString('base64url');
  const wait: NewWait = { wait: { kind: 'model' }, dueInSeconds: getPollSeconds(0), token };
  const open = await waits.open(identity, earlier, wait);
  if (reported !== undefined) open.dueAt = performance.now();
  return {
    webhookUrl: publicUrl && createGeminiWebhookUrl(publicUrl, token),
    reported,
    ended: (poll) => pollUntilEnded(parts, open, wait, poll),
  };
}

async function pollUntilEnded(
  { waits, store }: ModelWaitParts,
  open: OpenWait,
  wait: NewWait,
  poll: (ageSeconds: number) => Promise<boolean>,
): Promise<void> {
  for (;;) {
    await waits.untilDue(open);
    const ended = await waits.run(async () => {
      const ageSeconds = (databaseNow() - open.since.getTime()) / 1000;
      if (await poll(ageSeconds)) {
        await store({ ...open.identity, output: JSON.stringify({ status: 'ended' }) });
        return true;
      }
      const dueInSeconds = getPollSeconds(ageSeconds);
      await store({ ...open.identity, output: null, wait: { ...wait, dueInSeconds } });
      waits.reopen(open, dueInSeconds * 1000);
      return false;
    });
    if (ended) return;
  }
}
