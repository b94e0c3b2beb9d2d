/**
 * A send with its span and its time: from the request to the stored message, whichever binding it came by. What a caller
 * waits for after that is the task's time, and not a part of it.
 */
import { instruments } from '#shared/runtime/instruments.ts';
import { toContext, inSpan, SpanKind } from '#shared/runtime/spans.ts';
import { getTraceparent } from './caller.ts';
import type { Send } from './send-message.ts';

export function measuredSend(send: Send): Send {
  return (request, context, shown) => {
    const began = performance.now();
    return inSpan(
      'SendMessage',
      { kind: SpanKind.SERVER, attributes: { 'rpc.system': 'a2a', 'rpc.method': 'SendMessage' } },
      async (span) => {
        const sent = await send(request, context, shown);
        span.setAttributes({ 'longhaul.task.id': sent.taskId, 'longhaul.turn': sent.turn });
        instruments.acceptDuration.record((performance.now() - began) / 1000);
        return sent;
      },
      toContext(getTraceparent(context)),
    );
  };
}
