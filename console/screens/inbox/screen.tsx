/** Inbox: every task that waits for a person, with the form that answers it, oldest first. */
import type { JSX } from 'preact';
import { Link } from 'wouter-preact';
import { textOf } from '#shared/domain/message.ts';
import type { TaskSummary } from '#shared/domain/views.ts';
import { getTask } from '../../api/calls.ts';
import { loadWaiting, waitingTasks } from '../../api/waiting.ts';
import { toLine } from '../../lib/format.ts';
import { Answer } from '../../ui/answer.tsx';
import { Empty, ErrorNote, Page, Skeleton, StatePill, Time } from '../../ui/basics.tsx';
import { useData } from '../../ui/data.ts';
import { Markdown } from '../../ui/markdown.tsx';

export function InboxScreen(): JSX.Element {
  const tasks = waitingTasks.value;
  return (
    <Page title="Inbox">
      {tasks === undefined ? (
        <Skeleton lines={8} />
      ) : tasks.length === 0 ? (
        <Empty icon="inbox" title="Nothing waits for you">
          <p>Questions of agents, and calls of tools that need your approval, appear here.</p>
        </Empty>
      ) : (
        <div class="inbox">
          {tasks.toReversed().map((task) => (
            // A task that asks again is another entry.
            <Entry key={`${task.taskId} ${task.statusAt}`} summary={task} />
          ))}
        </div>
      )}
    </Page>
  );
}

function Entry({ summary }: { summary: TaskSummary }): JSX.Element {
  const { taskId, state, statusAt } = summary;
  const { data: task, error, reload } = useData(() => getTask(taskId), [taskId]);
  const first = task?.history?.find(({ role }) => role === 'ROLE_USER');
  const question = task?.status.message;
  const text = question === undefined ? '' : textOf(question.parts);
  return (
    <article class="card inbox-entry">
      <header class="card-head">
        <StatePill state={state} />
        <Link href={`/tasks/${taskId}`}>
          {first === undefined ? `Task ${taskId}` : toLine(textOf(first.parts), 90)}
        </Link>
        <span class="hint">
          waits for <Time at={statusAt} />
        </span>
      </header>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {task === undefined ? (
        <Skeleton lines={3} />
      ) : (
        <>
          {text !== '' && <Markdown text={text} />}
          <Answer task={task} onSent={() => void loadWaiting().catch(() => undefined)} />
        </>
      )}
    </article>
  );
}
