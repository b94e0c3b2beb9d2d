/** Tasks: the caller's tasks, newest change first, live. The filter is in the address. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useLocation, useSearch } from 'wouter-preact';
import type { TaskSummary } from '#shared/domain/views.ts';
import { getStats } from '../../api/calls.ts';
import { feedOpened } from '../../api/feed.ts';
import { formatFilter, isFiltered, noFilter, parseFilter, type TaskFilter } from '../../lib/task-filter.ts';
import { useKeys } from '../../shell/keys.ts';
import { Button, Empty, ErrorNote, Page, Skeleton } from '../../ui/basics.tsx';
import { useData, useFeed, usePoll } from '../../ui/data.ts';
import { VirtualList } from '../../ui/virtual-list.tsx';
import { Filters } from './filters.tsx';
import { applyFeed, loadMore, openList, refreshFirstPage, taskList } from './list-state.ts';
import { loadNewestPreviews, loadPreviews } from './previews.ts';
import { TaskRow } from './row.tsx';
import { Selection } from './selection.tsx';

const rowHeight = 44;
/** Webhooks fail without an event of the feed. */
const pollMs = 10_000;

export function TasksScreen(): JSX.Element {
  const [, navigate] = useLocation();
  const query = useSearch();
  const filter = useMemo(() => parseFilter(location.search), [query]);
  const stats = useData(getStats, []);
  const [current, setCurrent] = useState(-1);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const box = useRef<HTMLDivElement>(null);
  const { rows, loading, error, unseen, nextPageToken } = taskList.value;
  const opened = feedOpened.value;

  useEffect(() => {
    setCurrent(-1);
    setSelected(new Set());
    void openList(filter);
    void loadNewestPreviews().catch(() => undefined);
  }, [query]);
  useEffect(() => {
    if (opened > 0) void refreshFirstPage();
  }, [opened]);
  const isAtTop = (): boolean => (box.current?.scrollTop ?? 0) < rowHeight;
  usePoll(() => {
    if (isAtTop()) void refreshFirstPage();
  }, pollMs);
  useFeed((events) => {
    applyFeed(events, isAtTop());
    if (events.some(({ kind }) => kind === 'state')) stats.reload();
  });

  const setFilter = (next: TaskFilter): void => navigate(`/${formatFilter(next)}`, { replace: true });
  const move = (by: number): void => {
    const next = Math.min(rows.length - 1, Math.max(0, current + by));
    setCurrent(next);
    const element = box.current;
    if (element === null) return;
    const top = next * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight > element.scrollTop + element.clientHeight) {
      element.scrollTop = top + rowHeight - element.clientHeight;
    }
  };
  const toggle = (task: TaskSummary | undefined): void => {
    if (task === undefined) return;
    const next = new Set(selected);
    if (!next.delete(task.taskId)) next.add(task.taskId);
    setSelected(next);
  };
  useKeys([
    { keys: 'j', does: 'Next task', run: () => move(1) },
    { keys: 'k', does: 'Previous task', run: () => move(-1) },
    {
      keys: 'Enter',
      does: 'Open the task',
      run: () => rows[current] && navigate(`/tasks/${rows[current].taskId}`),
    },
    { keys: 'x', does: 'Select the task', run: () => toggle(rows[current]) },
    { keys: 'Escape', does: 'Clear the selection', run: () => setSelected(new Set()) },
    { keys: 'r', does: 'Read the list again', run: () => void refreshFirstPage() },
  ]);

  return (
    <Page
      title="Tasks"
      actions={
        <Button kind="primary" icon="plus" onClick={() => navigate('/new')}>
          New task
        </Button>
      }
    >
      <Filters filter={filter} stats={stats.data} onChange={setFilter} />
      {error !== undefined && <ErrorNote error={error} retry={() => void refreshFirstPage()} />}
      <div
        class="task-list"
        {...(rows.length > 0 && {
          role: 'table',
          'aria-label': 'Tasks',
          'aria-rowcount': nextPageToken === '' ? rows.length + 1 : -1,
        })}
      >
        <div role="rowgroup" aria-hidden={rows.length === 0}>
          <Head />
        </div>
        <div class="task-scroll" ref={box} tabIndex={0} role={rows.length > 0 ? 'rowgroup' : undefined}>
          {loading ? (
            <Skeleton lines={12} />
          ) : rows.length === 0 ? (
            <NoTasks filtered={isFiltered(filter)} onClear={() => setFilter(noFilter)} />
          ) : (
            <VirtualList
              items={rows}
              rowHeight={rowHeight}
              box={box}
              onEnd={() => void loadMore()}
              onView={(tasks) => void loadPreviews(tasks)}
              render={(task, index) => (
                <TaskRow
                  key={task.taskId}
                  task={task}
                  index={index}
                  isCurrent={index === current}
                  isSelected={selected.has(task.taskId)}
                  onSelect={toggle}
                />
              )}
            />
          )}
        </div>
        {selected.size > 0 && <Selection ids={[...selected]} onClear={() => setSelected(new Set())} />}
        {unseen > 0 && selected.size === 0 && (
          <button
            type="button"
            class="unseen"
            onClick={() => {
              box.current?.scrollTo({ top: 0 });
              void refreshFirstPage();
            }}
          >
            {unseen} changed
          </button>
        )}
      </div>
    </Page>
  );
}

function Head(): JSX.Element {
  return (
    <div class="task-row task-head" role="row" aria-rowindex={1}>
      <span role="columnheader" class="cell-check">
        <span class="visually-hidden">Selected</span>
      </span>
      <span role="columnheader" class="cell-state">
        State
      </span>
      <span role="columnheader">Task</span>
      <span role="columnheader" class="cell-id">
        Id
      </span>
      <span role="columnheader" class="cell-number">
        Lasted
      </span>
      <span role="columnheader" class="cell-number cell-cost">
        Cost
      </span>
      <span role="columnheader" class="cell-number cell-age">
        Age
      </span>
    </div>
  );
}

function NoTasks({ filtered, onClear }: { filtered: boolean; onClear: () => void }): JSX.Element {
  const [, navigate] = useLocation();
  if (filtered) {
    return (
      <Empty icon="search" title="No task meets this filter">
        <Button icon="close" onClick={onClear}>
          Clear the filter
        </Button>
      </Empty>
    );
  }
  return (
    <Empty icon="tasks" title="No tasks yet">
      <p>Send a message here, or from a program. Tasks appear as soon as they are accepted.</p>
      <Button kind="primary" icon="plus" onClick={() => navigate('/new')}>
        New task
      </Button>
    </Empty>
  );
}
