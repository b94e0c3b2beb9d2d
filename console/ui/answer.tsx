/** The form with which a person answers a task: a text for a question, a decision for each call of a tool. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { JsonObject } from '#shared/domain/message.ts';
import { send } from '../api/calls.ts';
import type { Task } from '../lib/types.ts';
import { createDecisions, listRequests, type ApprovalRequest } from '../lib/approval.ts';
import { Button } from './basics.tsx';
import { JsonView } from './json-view.tsx';
import { act } from './toast.tsx';

interface AnswerProps {
  task: Task;
  onSent: () => void;
}

export function Answer({ task, onSent }: AnswerProps): JSX.Element {
  const requests = task.status.state === 'TASK_STATE_AUTH_REQUIRED' ? listRequests(task.status.message) : [];
  if (requests.length === 0) return <TextAnswer task={task} onSent={onSent} />;
  return (
    <Approvals key={requests.map(({ id }) => id).join()} task={task} requests={requests} onSent={onSent} />
  );
}

function TextAnswer({ task, onSent }: AnswerProps): JSX.Element {
  const [text, setText] = useState('');
  const [sending, setSending] = useState(false);
  const submit = async (): Promise<void> => {
    setSending(true);
    const sent = await act(() => sendToTask(task, { parts: [{ text }] }), 'Your answer was sent.');
    setSending(false);
    if (!sent) return;
    setText('');
    onSent();
  };
  return (
    <form
      class="answer"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <label class="field">
        <span>Your answer</span>
        <textarea
          rows={3}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && text.trim() !== '')
              void submit();
          }}
        />
      </label>
      <Button kind="primary" type="submit" disabled={sending || text.trim() === ''}>
        Send the answer
      </Button>
      <span class="hint">Ctrl + Enter sends</span>
    </form>
  );
}

/** Each call is decided by itself; the answer is sent when all are. */
function Approvals({ task, requests, onSent }: AnswerProps & { requests: ApprovalRequest[] }): JSX.Element {
  const [decisions, setDecisions] = useState<Record<string, { approve: boolean; reason: string }>>({});
  const [sending, setSending] = useState(false);
  const decide = async (request: ApprovalRequest, approve: boolean, reason: string): Promise<void> => {
    const next = { ...decisions, [request.id]: { approve, reason } };
    setDecisions(next);
    const decided = requests.flatMap((entry) => {
      const decision = next[entry.id];
      return decision === undefined ? [] : [{ request: entry, ...decision }];
    });
    if (decided.length < requests.length) return;
    const { metadata, text } = createDecisions(decided);
    setSending(true);
    const done = approve ? 'Approved. The call runs now.' : 'Refused. The agent learns your decision.';
    const sent = await act(() => sendToTask(task, { parts: [{ text }], metadata }), done);
    setSending(false);
    if (sent) onSent();
    else setDecisions({});
  };
  return (
    <div class="answer">
      {requests.map((request) => (
        <Approval
          key={request.id}
          request={request}
          decided={decisions[request.id]?.approve}
          disabled={sending || decisions[request.id] !== undefined}
          onDecide={(approve, reason) => void decide(request, approve, reason)}
        />
      ))}
    </div>
  );
}

interface ApprovalProps {
  request: ApprovalRequest;
  decided: boolean | undefined;
  disabled: boolean;
  onDecide: (approve: boolean, reason: string) => void;
}

function Approval({ request, decided, disabled, onDecide }: ApprovalProps): JSX.Element {
  const [reason, setReason] = useState('');
  return (
    <fieldset class="approval" disabled={disabled}>
      <legend>
        May the agent call <code>{request.tool}</code>?
      </legend>
      <JsonView value={request.arguments} label={`Arguments of ${request.tool}`} />
      <label class="field">
        <span>Reason, for the agent (optional)</span>
        <input value={reason} maxLength={1000} onInput={(event) => setReason(event.currentTarget.value)} />
      </label>
      <div class="actions">
        <Button kind="primary" icon="check" onClick={() => onDecide(true, reason.trim())}>
          Approve
        </Button>
        <Button kind="danger" icon="stop" onClick={() => onDecide(false, reason.trim())}>
          Refuse
        </Button>
        {decided !== undefined && (
          <span class="hint">{decided ? 'Approved' : 'Refused'}: decide the others too.</span>
        )}
      </div>
    </fieldset>
  );
}

function sendToTask(
  task: Task,
  { parts, metadata }: { parts: { text: string }[]; metadata?: JsonObject },
): Promise<unknown> {
  return send({
    message: {
      messageId: crypto.randomUUID(),
      role: 'ROLE_USER',
      taskId: task.id,
      contextId: task.contextId,
      parts,
      ...(metadata !== undefined && { metadata }),
    },
    configuration: { returnImmediately: true },
  });
}
