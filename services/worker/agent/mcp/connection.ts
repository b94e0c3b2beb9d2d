/**
 * The connection to one MCP server, shared by all turns of this process.
 *
 *   none ──first use──▶ opening ──▶ open ──lost, idle, closed──▶ none
 *
 * A call that certainly did not reach the server (its session is gone, nobody listens) is made again on a new
 * connection, for some seconds. One whose connection was lost on the way may have been done: it is made again only
 * where its tool says that this does no harm; else the caller is told that nobody knows.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallToolResult, Tool } from '@modelcontextprotocol/client';
import { Client, SdkError, SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import { CredentialsError } from '../errors.ts';
import { openTransport } from './transport.ts';

export interface McpCall {
  name: string;
  args: Record<string, unknown>;
  idempotencyKey: string;
  /** Calling it twice does no harm. */
  repeatable: boolean;
  signal: AbortSignal;
}

interface Open {
  client: Client;
  listing: Promise<Tool[]>;
  /** The list as the server has told it since. */
  changed?: Tool[];
}

/** Between attempts to reach a server again: it may be starting anew. */
const waitsMs = [100, 500, 1500, 3000];

const idleMs = 10 * 60_000;

export class McpConnection {
  readonly #name: string;
  readonly #server: McpServerDefinition;
  readonly #secretOf: (name: string) => string | undefined;
  #open: Promise<Open> | undefined;
  #busy = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(name: string, server: McpServerDefinition, secretOf: (name: string) => string | undefined) {
    this.#name = name;
    this.#server = server;
    this.#secretOf = secretOf;
  }

  /** @throws {CredentialsError | RetryableError} */
  async tools(): Promise<Tool[]> {
    return this.#using(async () => {
      try {
        const { listing, changed } = await this.#opened();
        return changed ?? (await listing);
      } catch (error) {
        await this.close();
        throw this.#unusable(error);
      }
    });
  }

  /** What goes wrong is thrown in words for the model, except for missing credentials. */
  async call(call: McpCall): Promise<CallToolResult> {
    return this.#using(async () => {
      for (let made = 0; ; made += 1) {
        try {
          return await this.#callOnce(call);
        } catch (error) {
          call.signal.throwIfAborted();
          const lost = lossOf(error);
          const wait = waitsMs[made];
          const again = lost === 'before' || (lost === 'on the way' && call.repeatable);
          if (wait === undefined || !again) throw this.#failed(error, lost);
          await sleep(wait, undefined, { signal: call.signal });
        }
      }
    });
  }

  async #callOnce({ name, args, idempotencyKey, signal }: McpCall): Promise<CallToolResult> {
    const opened = await this.#opened().catch((error: unknown) => {
      throw isRefusal(error) || error instanceof CredentialsError ? error : new NotOpenError(error);
    });
    const _meta = { 'dev.longhaul/idempotencyKey': idempotencyKey };
    try {
      const timeout = this.#server.timeoutSeconds * 1000;
      return await opened.client.callTool({ name, arguments: args, _meta }, { signal, timeout });
    } catch (error) {
      if (lossOf(error) !== undefined) await this.#drop(opened);
      throw error;
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const open = await this.#open?.catch(() => undefined);
    this.#open = undefined;
    await open?.client.close();
  }

  async #using<T>(run: () => Promise<T>): Promise<T> {
    clearTimeout(this.#idle);
    this.#busy += 1;
    try {
      return await run();
    } finally {
      this.#busy -= 1;
      if (this.#busy === 0) this.#idle = setTimeout(() => void this.close(), idleMs).unref();
    }
  }

  #opened(): Promise<Open> {
    if (this.#open === undefined) {
      const opening = this.#connect();
      this.#open = opening;
      opening.catch(() => {
        if (this.#open === opening) this.#open = undefined;
      });
    }
    return this.#open;
  }

  async #connect(): Promise<Open> {
    const transport = openTransport(this.#name, this.#server, this.#secretOf);
    const opened: Open = {
      client: new Client(
        { name: 'longhaul', version: '1' },
        {
          // Servers of the specification of 2026 and of those before it.
          versionNegotiation: { mode: 'auto' },
          listChanged: {
            tools: {
              onChanged: (error, tools) => {
                if (error === null && tools !== null) opened.changed = tools;
              },
            },
          },
        },
      ),
      listing: Promise.resolve([]),
    };
    const { client } = opened;
    /* oxlint-disable unicorn/prefer-add-event-listener -- the client has nothing else */
    client.onclose = () => this.#forget(client);
    client.onerror = (error) => {
      // The stream in which answers come is gone for good: who waits for one would wait until the timeout.
      if (error.message.startsWith('Maximum reconnection attempts')) void client.close();
    };
    /* oxlint-enable unicorn/prefer-add-event-listener */
    const timeout = this.#server.timeoutSeconds * 1000;
    try {
      await client.connect(transport.transport, { timeout });
    } catch (error) {
      await client.close();
      throw transport.explain(error);
    }
    opened.listing = client.listTools(undefined, { timeout }).then(({ tools }) => tools);
    opened.listing.catch(() => undefined);
    return opened;
  }

  #forget(client: Client): void {
    const open = this.#open;
    open?.then(
      (opened) => {
        if (opened.client === client && this.#open === open) this.#open = undefined;
      },
      // One that never opened is forgotten where it failed.
      () => undefined,
    );
  }

  async #drop(opened: Open): Promise<void> {
    this.#forget(opened.client);
    await opened.client.close();
  }

  #unusable(error: unknown): Error {
    if (error instanceof CredentialsError) return error;
    if (isRefusal(error)) return this.#refused(error);
    return new RetryableError(`The MCP server "${this.#name}" cannot be used at present.`, { cause: error });
  }

  #refused(cause: unknown): CredentialsError {
    return new CredentialsError(
      `The MCP server "${this.#name}" refuses the credentials of this agent. When its operator has set right ones, send any message to go on.`,
      { cause },
    );
  }

  #failed(error: unknown, lost: Loss | undefined): Error {
    if (error instanceof CredentialsError) return error;
    if (isRefusal(error)) return this.#refused(error);
    if (lost === 'on the way') {
      return new Error(
        'The connection to the tool was lost during the call: whether it took effect is unknown.',
        {
          cause: error,
        },
      );
    }
    if (lost === 'before') return new Error('The tool cannot be reached at present.', { cause: error });
    if (error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout) {
      return new Error(`The tool gave no answer within ${this.#server.timeoutSeconds} s.`, { cause: error });
    }
    return error instanceof Error ? error : new Error(String(error));
  }
}

class NotOpenError extends Error {
  constructor(cause: unknown) {
    super('the connection cannot be opened', { cause });
  }
}

type Loss = 'before' | 'on the way';

function lossOf(error: unknown): Loss | undefined {
  if (error instanceof NotOpenError) return 'before';
  // A server that has begun anew knows nothing of the session: 404 by the specification, 400 by the older SDK.
  if (error instanceof SdkHttpError) {
    const gone = error.status === 404 || (error.status === 400 && /session/i.test(error.message));
    return gone ? 'before' : undefined;
  }
  if (error instanceof SdkError) {
    if (error.code === SdkErrorCode.ConnectionClosed) return 'on the way';
    return error.code === SdkErrorCode.NotConnected ? 'before' : undefined;
  }
  if (!(error instanceof Error)) return undefined;
  if (error.message === 'Not connected') return 'before';
  if (!(error instanceof TypeError)) return undefined;
  const { code } = (error.cause ?? {}) as { code?: unknown };
  return code === 'ECONNREFUSED' || code === 'ENOTFOUND' ? 'before' : 'on the way';
}

function isRefusal(error: unknown): boolean {
  return error instanceof SdkHttpError && (error.status === 401 || error.status === 403);
}
