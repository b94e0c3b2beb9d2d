/** "Work for 60 seconds": a reply that takes that long, piece by piece, so that a long task can be watched without a key. */
import type { Reply } from '../reply.ts';
import { getLastUserText, type GenerateRequest } from '../wire.ts';

const pattern = /\bwork for (\d{1,4}) ?(s|sec|seconds?|m|min|minutes?)\b/i;
const maxSeconds = 3600;

export function workSlowly(request: GenerateRequest): Reply | undefined {
  const [, amount, unit = ''] = pattern.exec(getLastUserText(request)) ?? [];
  if (amount === undefined) return undefined;
  const seconds = Math.min(Number(amount) * (unit.startsWith('m') ? 60 : 1), maxSeconds);
  const pieces = Array.from({ length: seconds }, (_, index) => ({ text: `${index + 1} … ` }));
  return { pieces: [...pieces, { text: 'done.' }], chunkDelayMs: 1000 };
}
