/**
 * Reads a value at intervals, for services that can switch to a newer one while they run. Values are never logged
 * (invariant 12).
 *
 *   value ──every interval──▶ read ──changed──▶ onValue
 *     ▲                        │ read failed or value rejected: keep the old value, log a warning
 *     └────────────────────────┘
 *
 * Files are polled: a mounted secret is a link that is replaced, which events of the file system miss.
 */
import { readFile } from 'node:fs/promises';
import { errorMessage, type Logger } from '../log.ts';

export interface RefreshOptions {
  variable: string;
  /** Where the value comes from, for the log. */
  source: string;
  /** The value in use. Undefined: the first value that is read is passed to `onValue` too. */
  value: string | undefined;
  read: () => Promise<string>;
  /** An error rejects the value, which is then not tried again. */
  onValue: (value: string) => void;
  everyMs: number;
  log: Logger;
}

/** Returns a function that stops the refreshes. */
export function refreshValue(options: RefreshOptions): () => void {
  const { variable, source, read, onValue, everyMs, log } = options;
  let { value } = options;
  let rejected: string | undefined;
  let problem: string | undefined;
  /** The first value of a file is mostly the one that is in use already. */
  let isFirst = value === undefined;

  const refresh = async (): Promise<void> => {
    const next = await read();
    const isKnown = isFirst;
    isFirst = false;
    problem = undefined;
    if (next === value || next === rejected) return;
    try {
      onValue(next);
    } catch (error) {
      rejected = next;
      throw error;
    }
    rejected = undefined;
    if (!isKnown) log.info({ variable, source }, 'secret changed; the new value is in use');
    value = next;
  };
  const run = (): void => {
    refresh().catch((error: unknown) => {
      const text = errorMessage(error);
      if (text === problem) return;
      problem = text;
      log.warn(
        { variable, source, error: text },
        'secret could not be refreshed; the old value stays in use',
      );
    });
  };
  if (value === undefined) run();
  const timer = setInterval(run, everyMs).unref();
  return () => clearInterval(timer);
}

/** Returns a reader of a file, trimmed like all values of files. It rejects if the file is empty. */
export function createFileReader(path: string): () => Promise<string> {
  return async () => {
    const content = (await readFile(path, 'utf8')).trim();
    if (content === '') throw new Error('the file is empty');
    return content;
  };
}
