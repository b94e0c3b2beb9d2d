/** What was asked of the model and how it went: read at `GET /__log`. The oldest entries make room. */
import { createHash } from 'node:crypto';

export interface LogEntry {
  /** ISO 8601; when the request had been read. */
  time: string;
  verb: string;
  model: string;
  /** The user's last text, shortened, and the SHA-256 of all of it. */
  lastUserText: string;
  lastUserSha256: string;
  /** How many contents the conversation has. */
  contents: number;
  tools: string[];
  functionResponses: string[];
  /** The HTTP status; absent while the answer is on its way. */
  status?: number;
  finishReason?: string;
  /** Events of the stream that were sent. */
  chunks: number;
  /** The client went away before the answer was complete. */
  aborted: boolean;
  ms?: number;
}

const KEPT = 10_000;
const SHOWN_CHARACTERS = 500;

export class RequestLog {
  #entries: LogEntry[] = [];

  add(entry: Omit<LogEntry, 'time' | 'lastUserSha256' | 'chunks' | 'aborted'>): LogEntry {
    const logged: LogEntry = {
      time: new Date().toISOString(),
      ...entry,
      lastUserText: entry.lastUserText.slice(0, SHOWN_CHARACTERS),
      lastUserSha256: createHash('sha256').update(entry.lastUserText).digest('hex'),
      chunks: 0,
      aborted: false,
    };
    this.#entries.push(logged);
    if (this.#entries.length > 2 * KEPT) this.#entries = this.#entries.slice(-KEPT);
    return logged;
  }

  entries(): readonly LogEntry[] {
    return this.#entries;
  }

  clear(): void {
    this.#entries = [];
  }
}
