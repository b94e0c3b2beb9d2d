/** The messages of a task, and what it waits for at the end. */
import type { JSX } from 'preact';
import type { Message } from '#shared/domain/message.ts';
import { approvalExtension } from '../../lib/approval.ts';
import { isRunning, needsPerson } from '../../lib/states.ts';
import type { Task } from '../../lib/types.ts';
import { PartView } from '../../ui/part-view.tsx';
import { Answer } from '../../ui/answer.tsx';

export function Conversation({ task, onSent }: { task: Task; onSent: () => void }): JSX.Element {
  const { history = [], status } = task;
  const { message, state } = status;
  const isListed = history.some(({ messageId }) => messageId === message?.messageId);
  return (
    <section class="card conversation" aria-label="Conversation">
      <h2>Conversation</h2>
      {history.map((entry) => (
        <Bubble key={entry.messageId} message={entry} />
      ))}
      {message !== undefined && !isListed && <Bubble message={message} isProgress={isRunning(state)} />}
      {isRunning(state) && message === undefined && (
        <p class="hint working">{state === 'TASK_STATE_SUBMITTED' ? 'Waiting for a worker' : 'Working'}</p>
      )}
      {needsPerson(state) && <Answer task={task} onSent={onSent} />}
    </section>
  );
}

function Bubble({ message, isProgress = false }: { message: Message; isProgress?: boolean }): JSX.Element {
  const isUser = message.role === 'ROLE_USER';
  const parts = message.parts.filter((part) => !isApproval(part.data));
  return (
    <article class={`bubble ${isUser ? 'user' : 'agent'}${isProgress ? ' working' : ''}`}>
      <header>{isUser ? 'You' : 'Agent'}</header>
      {parts.map((part, index) => (
        <PartView key={index} part={part} />
      ))}
    </article>
  );
}

/** Approvals are shown as a form instead. */
function isApproval(data: unknown): boolean {
  return typeof data === 'object' && data !== null && Object.hasOwn(data, approvalExtension);
}
