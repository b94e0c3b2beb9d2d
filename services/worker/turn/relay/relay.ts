/**
 * The turn of a gateway: its message goes to the agent behind it, whose task is shown as ours (docs/develop/gateway.md).
 *
 *   earlier call of the context ─▶ its task, if that waits for this message; otherwise its conversation
 *   message ─▶ call (calls.ts) ─▶ mirror.ts ─▶ result
 */
import { readGateway, upstreamName } from '#shared/agent/gateway.ts';
import type { EarlierCall } from '#shared/db/calls/earlier.ts';
import type { TurnInput } from '#shared/db/turns/input/input.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { JsonObject, Message, Part } from '#shared/domain/message.ts';
import type { CallResult, Turn } from '../../agent/agent.ts';
import type { Calls } from '../calls/calls.ts';
import type { RelayedMessage } from '../calls/message.ts';
import { Mirror, type MirrorParts } from './mirror.ts';
import type { RelayedCall } from './relayed-call.ts';

export interface RelayParts extends Omit<MirrorParts, 'toMark'> {
  lease: Lease;
  input: Pick<TurnInput, 'message' | 'metadata' | 'acceptedOutputModes' | 'definition'>;
  calls: Calls;
  readFile: Turn['readFile'];
  /** Runs an operation of the turn. */
  run: <T>(operation: () => Promise<T>) => Promise<T>;
  readEarlierCall: (name: string) => Promise<EarlierCall | undefined>;
}

export async function relayTurn(parts: RelayParts): Promise<CallResult> {
  const { lease, input, calls, run, readFile, readEarlierCall } = parts;
  const { message, metadata, acceptedOutputModes } = input;
  const gateway = readGateway(input.definition);
  if (gateway === undefined) throw new FatalError('The definition of this task has no a2a.');
  const [earlier, content] = await run(() =>
    Promise.all([readEarlierCall(`call:${upstreamName}`), readFiles(readFile, message.parts)]),
  );
  const relay: RelayedCall = {
    first: createFirst(lease, earlier),
    maxResends: gateway.resends,
    message: {
      more: createMore(message),
      acceptedOutputModes,
      requestMetadata: lease.turn === 1 ? withoutOwnExtensions(metadata) : {},
    },
    openMirror: (shown, toMark) => new Mirror(shown, { ...parts, toMark }),
  };
  return calls.call(upstreamName, content, { timeoutSeconds: gateway.timeoutSeconds }, relay);
}

/** Continues a task that waits for this message, with what is shown of it. Another one gets ids of its own. */
function createFirst({ taskId, turn }: Lease, earlier: EarlierCall | undefined): RelayedCall['first'] {
  const suffix = turn === 1 ? {} : { suffix: `-${turn}` };
  const nothingShown = { shown: { artifacts: {}, ...suffix } };
  if (earlier === undefined) return nothingShown;
  const { wait } = earlier;
  const context = wait.context === undefined ? {} : { context: wait.context };
  if (earlier.taskId !== taskId || wait.task === undefined || wait.asks !== true) {
    return { ...nothingShown, ...context };
  }
  const { resends: _resends, lost: _lost, ...shown } = wait.shown ?? { artifacts: {} };
  return { ...context, continues: wait.task, shown };
}

/** The agent behind us cannot read the files that this service has stored. */
async function readFiles(readFile: Turn['readFile'], parts: readonly Part[]): Promise<Part[]> {
  return Promise.all(
    parts.map(async (part) => {
      const { url, ...rest } = part;
      const file = url === undefined ? undefined : await readFile(url);
      if (file === undefined) return part;
      return { mediaType: file.mediaType, ...rest, raw: file.content.toString('base64') };
    }),
  );
}

function createMore({ metadata, extensions }: Message): RelayedMessage['more'] {
  return { ...(metadata && { metadata }), ...(extensions && { extensions }) };
}

/** Extensions of this service are about our task. */
function withoutOwnExtensions(metadata: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(metadata).filter(([key]) => !key.startsWith('https://longhaul.dev/ext/')),
  );
}
