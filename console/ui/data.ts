/** Loading of what a screen shows. Old data stays while new data is on its way, so nothing flickers. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { FeedEvent } from '#shared/domain/views.ts';
import { feedOpened, onFeed } from '../api/feed.ts';

export interface Loaded<T> {
  data: T | undefined;
  error: string | undefined;
  reload: () => void;
}

/** @param keys values that cause a new load, from scratch, when they change */
export function useData<T>(load: () => Promise<T>, keys: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: string }>({});
  const latest = useRef(load);
  latest.current = load;
  const generation = useRef(0);
  const run = useCallback(() => {
    const current = (generation.current += 1);
    latest.current().then(
      (data) => {
        if (current === generation.current) setState({ data });
      },
      (error: unknown) => {
        if (current === generation.current)
          setState((known) => ({ ...known, error: (error as Error).message }));
      },
    );
  }, []);
  useEffect(() => {
    setState({});
    run();
    return () => void (generation.current += 1);
  }, keys);
  const opened = feedOpened.value;
  const seen = useRef(opened);
  useEffect(() => {
    if (seen.current !== opened) run();
    seen.current = opened;
  }, [opened]);
  return { data: state.data, error: state.error, reload: run };
}

/** Runs now and then while the tab is visible: for states that change without an event of the feed. */
export function usePoll(run: () => void, ms: number): void {
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) latest.current();
    }, ms);
    return () => clearInterval(timer);
  }, [ms]);
}

/** Calls `handle` for each event of the feed, and after a burst of them at most once in `ms`, with all of them. */
export function useFeed(handle: (events: readonly FeedEvent[]) => void, ms = 300): void {
  const latest = useRef(handle);
  latest.current = handle;
  useEffect(() => {
    let waiting: FeedEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = onFeed((event) => {
      waiting.push(event);
      timer ??= setTimeout(() => {
        const events = waiting;
        waiting = [];
        timer = undefined;
        latest.current(events);
      }, ms);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [ms]);
}
