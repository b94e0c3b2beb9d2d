/** A call of the agent behind a gateway, whose task is shown as ours. */
import type { NewStep } from '#shared/db/turns/write.ts';
import type { ShownOutput } from '#shared/domain/wait.ts';
import type { RelayedMessage } from '../calls/message.ts';
import type { Mirror } from './mirror.ts';

export interface RelayedCall {
  /** Recorded when the call starts. Another run of the turn keeps what the first has recorded. */
  first: { context?: string; continues?: string; shown: ShownOutput };
  maxResends: number;
  message: RelayedMessage;
  openMirror(shown: ShownOutput, toMark: (shown: ShownOutput) => NewStep): Mirror;
}
