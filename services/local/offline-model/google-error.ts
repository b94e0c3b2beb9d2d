/** Errors in the JSON format of Google's APIs (google.rpc.Status). */
import type { OutgoingHttpHeaders } from 'node:http';

const statuses: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  408: 'DEADLINE_EXCEEDED',
  409: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  500: 'INTERNAL',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

const messages: Record<number, string> = {
  400: 'Request contains an invalid argument.',
  403: 'The caller does not have permission.',
  404: 'Requested entity was not found.',
  429: 'You exceeded your current quota, please check your plan and billing details.',
  500: 'An internal error has occurred. Please retry.',
  503: 'The model is overloaded. Please try again later.',
  504: 'The request timed out. Please try again.',
};

export interface GoogleErrorOptions {
  message?: string | undefined;
  /** The delay of RetryInfo in seconds, such as `2s` or `1.5s`. */
  retryDelay?: string | undefined;
  headers?: OutgoingHttpHeaders | undefined;
}

export class GoogleError extends Error {
  override readonly name = 'GoogleError';
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly #retryDelay: string | undefined;

  constructor(status: number, options: GoogleErrorOptions = {}) {
    super(options.message ?? messages[status] ?? `Error ${status}.`);
    this.status = status;
    this.headers = options.headers ?? {};
    this.#retryDelay = options.retryDelay;
  }

  toJSON() {
    const details =
      this.#retryDelay === undefined
        ? []
        : [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: this.#retryDelay }];
    return {
      error: {
        code: this.status,
        message: this.message,
        status: statuses[this.status] ?? 'UNKNOWN',
        ...(details.length > 0 && { details }),
      },
    };
  }
}
