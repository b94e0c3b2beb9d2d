/**
 * The connection to one MCP server, shared by all turns of this process.
 *
 *   none ──first use──▶ opening ──▶ open ──lost, idle, closed──▶ none
 *
 * A call that certainly did not reach the server (its session is gone, or the port is closed) is retried on
 * new connections, for about 5 seconds. If the connection is lost during a call, the call may have taken
 * effect. It is repeated only if its tool is read-only or idempotent; otherwise the model gets an error that
 * says that the effect is unknown.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Client,
  SdkError,
  SdkErrorCode,
  SdkHttpError,
  type CallToolResult,
  type Tool,
} from '@modelcontextprotocol/client';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import { CredentialsError } from '../errors.ts';
import { openTransport } from './transport.ts';

export interface McpCall {
  name: string;
  args: Record<string, unknown>;
  idempotencyKey: string;
  /** Repeating the call does no harm. */
  repeatable: boolean;
  signal: AbortSignal;
}

interface OpenConnection {
  client: Client;
  listing: Promise<Tool[]>;
  /** The latest list, if the server has announced a change since. */
  changed?: Tool[];
}

/** The waits before each retry, for a server that is restarting. */
const retryDelaysMs = [100, 500, 1500, 3000];

const idleMs = 10 * 60_000;

export class McpConnection {
  readonly #name: string;
  readonly #server: McpServerDefinition;
  readonly #getSecret: (name: string) => string | undefined;
  #open: Promise<OpenConnection> | undefined;
  #busy = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(name: string, server: McpServerDefinition, getSecret: (name: string) => string | undefined) {
    this.#name = name;
    this.#server = server;
    this.#getSecret = getSecret;
  }

  /** @throws {CredentialsError | RetryableError} */
  async listTools(): Promise<Tool[]> {
    return this.#whileBusy(async () => {
      try {
        const { listing, changed } = await this.#connected();
        return changed ?? (await listing);
      } catch (error) {
        await this.close();
        throw this.#toListError(error);
      }
    });
  }

  /**
   * @throws {CredentialsError} if the server refuses the credentials, or some are missing
   * @throws {Error} with a message for the model, for every other failure
   */
  async call(call: McpCall): Promise<CallToolResult> {
    return this.#whileBusy(async () => {
      for (let attempt = 0; ; attempt += 1) {
        try {
          return await this.#callOnce(call);
        } catch (error) {
          call.signal.throwIfAborted();
          const loss = classifyLoss(error);
          const delayMs = retryDelaysMs[attempt];
          const mayRetry = loss === 'before_call' || (loss === 'during_call' && call.repeatable);
          if (delayMs === undefined || !mayRetry) throw this.#toCallError(error, loss);
          await sleep(delayMs, undefined, { signal: call.signal });
        }
      }
    });
  }

  async #callOnce({ name, args, idempotencyKey, signal }: McpCall): Promise<CallToolResult> {
    const connection = await this.#connected().catch((error: unknown) => {
      throw isRefusal(error) || error instanceof CredentialsError ? error : new NotOpenError(error);
    });
    const _meta = { 'dev.longhaul/idempotencyKey': idempotencyKey };
    try {
      const timeout = this.#server.timeoutSeconds * 1000;
      return await connection.client.callTool({ name, arguments: args, _meta }, { signal, timeout });
    } catch (error) {
      if (classifyLoss(error) !== undefined) await this.#drop(connection);
      throw error;
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const open = await this.#open?.catch(() => undefined);
    this.#open = undefined;
    await open?.client.close();
  }

  async #whileBusy<T>(run: () => Promise<T>): Promise<T> {
    clearTimeout(this.#idle);
    this.#busy += 1;
    try {
      return await run();
    } finally {
      this.#busy -= 1;
      if (this.#busy === 0) this.#idle = setTimeout(() => void this.close(), idleMs).unref();
    }
  }

  #connected(): Promise<OpenConnection> {
    if (this.#open === undefined) {
      const opening = this.#connect();
      this.#open = opening;
      opening.catch(() => {
        if (this.#open === opening) this.#open = undefined;
      });
    }
    return this.#open;
  }

  async #connect(): Promise<OpenConnection> {
    const transport = openTransport(this.#name, this.#server, this.#getSecret);
    const connection: OpenConnection = {
      client: new Client(
        { name: 'longhaul', version: '1' },
        {
          // Supports servers of the 2026 specification and of earlier ones.
          versionNegotiation: { mode: 'auto' },
          listChanged: {
            tools: {
              onChanged: (error, tools) => {
                if (error === null && tools !== null) connection.changed = tools;
              },
            },
          },
        },
      ),
      listing: Promise.resolve([]),
    };
    const { client } = connection;
    /* oxlint-disable unicorn/prefer-add-event-listener -- the client offers only these properties */
    client.onclose = () => this.#forget(client);
    client.onerror = (error) => {
      // The response stream is lost for good. Closing the client fails pending calls now, not at their
      // timeout.
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
    connection.listing = client.listTools(undefined, { timeout }).then(({ tools }) => tools);
    connection.listing.catch(() => undefined);
    return connection;
  }

  #forget(client: Client): void {
    const open = this.#open;
    open?.then(
      (connection) => {
        if (connection.client === client && this.#open === open) this.#open = undefined;
      },
      // A connection that failed to open was forgotten when it failed.
      () => undefined,
    );
  }

  async #drop(connection: OpenConnection): Promise<void> {
    this.#forget(connection.client);
    await connection.client.close();
  }

  #toListError(error: unknown): Error {
    if (error instanceof CredentialsError) return error;
    if (isRefusal(error)) return this.#toCredentialsError(error);
    return new RetryableError(`The MCP server "${this.#name}" is currently unavailable.`, { cause: error });
  }

  #toCredentialsError(cause: unknown): CredentialsError {
    return new CredentialsError(
      `The MCP server "${this.#name}" refuses the credentials of this agent. When its operator has corrected them, send any message to continue.`,
      { cause },
    );
  }

  #toCallError(error: unknown, loss: Loss | undefined): Error {
    if (error instanceof CredentialsError) return error;
    if (isRefusal(error)) return this.#toCredentialsError(error);
    if (loss === 'during_call') {
      return new Error(
        'The connection to the tool was lost during the call. It is unknown whether the call took effect.',
        { cause: error },
      );
    }
    if (loss === 'before_call') return new Error('The tool is currently unavailable.', { cause: error });
    if (error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout) {
      const message = `The tool did not answer within ${this.#server.timeoutSeconds} s.`;
      return new Error(message, { cause: error });
    }
    return error instanceof Error ? error : new Error(String(error));
  }
}

class NotOpenError extends Error {
  constructor(cause: unknown) {
    super('the connection cannot be opened', { cause });
  }
}

/** When a connection was lost: before the server got the call, or after it may have. */
type Loss = 'before_call' | 'during_call';

function classifyLoss(error: unknown): Loss | undefined {
  if (error instanceof NotOpenError) return 'before_call';
  // A restarted server does not know the session: it answers 404 by the specification, 400 with the older
  // SDK.
  if (error instanceof SdkHttpError) {
    const gone = error.status === 404 || (error.status === 400 && /session/i.test(error.message));
    return gone ? 'before_call' : undefined;
  }
  if (error instanceof SdkError) {
    if (error.code === SdkErrorCode.ConnectionClosed) return 'during_call';
    return error.code === SdkErrorCode.NotConnected ? 'before_call' : undefined;
  }
  if (!(error instanceof Error)) return undefined;
  if (error.message === 'Not connected') return 'before_call';
  if (!(error instanceof TypeError)) return undefined;
  const { code } = (error.cause ?? {}) as { code?: unknown };
  return code === 'ECONNREFUSED' || code === 'ENOTFOUND' ? 'before_call' : 'during_call';
}

function isRefusal(error: unknown): boolean {
  return error instanceof SdkHttpError && (error.status === 401 || error.status === 403);
}
