/**
 * Logs the requests to the model and their results, for `GET /__log`. Drops the oldest entries beyond 10,000.
 */
import { createHash } from 'node:crypto';

export interface LoggedRequest {
  /** When the request was read, in ISO 8601. */
  time: string;
  verb: string;
  model: string;
  /** The last text of the user, truncated to 500 characters. */
  lastUserText: string;
  /** The SHA-256 of the whole text. */
  lastUserSha256: string;
  /** The number of contents in the conversation. */
  contents: number;
  tools: string[];
  functionResponses: string[];
  /** The HTTP status. Absent until the response starts. */
  status?: number;
  finishReason?: string;
  /** The number of stream events that were sent. */
  chunks: number;
  /** True if the client disconnected before the response was complete. */
  aborted: boolean;
  ms?: number;
}

const maxEntries = 10_000;
const maxTextLength = 500;

export class RequestLog {
  #entries: LoggedRequest[] = [];

  add(entry: Omit<LoggedRequest, 'time' | 'lastUserSha256' | 'chunks' | 'aborted'>): LoggedRequest {
    const logged: LoggedRequest = {
      time: new Date().toISOString(),
      ...entry,
      lastUserText: entry.lastUserText.slice(0, maxTextLength),
      lastUserSha256: createHash('sha256').update(entry.lastUserText).digest('hex'),
      chunks: 0,
      aborted: false,
    };
    this.#entries.push(logged);
    if (this.#entries.length > 2 * maxEntries) this.#entries = this.#entries.slice(-maxEntries);
    return logged;
  }

  entries(): readonly LoggedRequest[] {
    return this.#entries;
  }

  clear(): void {
    this.#entries = [];
  }
}
