/** Describes to clients what a suspended turn waits for: in words, and in the metadata of the message (docs/develop/waits.md). */
import type { JsonObject, Message } from '#shared/domain/message.ts';
import { toolWaitPrefix, waitsExtension, type Wait } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { StepIdentity } from '../record.ts';

export interface DescribedWait {
  identity: StepIdentity;
  kind: Wait['kind'];
  /** Shown next to its name and its times. */
  details: JsonObject | undefined;
  since: Date;
  /** By `performance.now()`. */
  dueAt: number;
  /** The end that clients are shown, if it is not `dueAt`: what is polled is due many times. */
  endsAt: number | undefined;
}

/** The waits that a status message lists. */
const maxListed = 20;

export function createWaitsMessage(
  waits: readonly DescribedWait[],
  createMessage: (text: string) => Message,
): Message {
  const listed = waits.toSorted((a, b) => getEndsAt(a) - getEndsAt(b)).slice(0, maxListed);
  const described = listed.map((wait) => ({
    name: wait.identity.name,
    kind: wait.kind,
    ...wait.details,
    since: wait.since.toISOString(),
    // How long the model takes is not known.
    ...(wait.kind !== 'model' && { until: getEnd(wait) }),
  }));
  const [first] = listed;
  const others = waits.length === 1 ? '' : `, and ${waits.length - 1} more`;
  const text = first === undefined ? '' : `Waiting ${describe(first)}${others}.`;
  return { ...createMessage(text), metadata: { [waitsExtension]: described } };
}

function describe(wait: DescribedWait): string {
  switch (wait.kind) {
    case 'sleep':
      return `until ${getEnd(wait)}`;
    case 'callback':
    case 'children':
      return `for "${wait.identity.name}" until ${getEnd(wait)}`;
    case 'agent':
      if (wait.identity.name.startsWith(toolWaitPrefix)) {
        const tool = wait.identity.name.slice(toolWaitPrefix.length).replace(/#\d+$/, '');
        return `for the tool "${tool}" until ${getEnd(wait)}`;
      }
      return `for the agent "${wait.identity.name.replace(/^call:/, '')}" until ${getEnd(wait)}`;
    case 'model':
      return `for the model since ${wait.since.toISOString()}`;
    default:
      return wait.kind satisfies never;
  }
}

function getEndsAt({ dueAt, endsAt = dueAt }: DescribedWait): number {
  return endsAt;
}

function getEnd(wait: DescribedWait): string {
  return new Date(databaseNow() + getEndsAt(wait) - performance.now()).toISOString();
}
