/**
 * The connection to one MCP server, shared by all turns of this process.
 *
 *   none ──first use──▶ opening ──▶ open ──lost, idle, closed──▶ none
 *
 * A call that certainly did not reach the server (its session is gone, or the port is closed) is retried on
 * new connections, for about 5 seconds. If the connection is lost during a call, the call may have taken
 * effect. It is repeated only if its tool is read-only or idempotent; otherwise the model gets an error that
 * says that the effect is unknown. A busy server (429, 503) gets the call of a read-only or idempotent tool
 * again after the wait that it asks for, within the timeout of the call.
 *
 * The list of tools is read again after a minute, when the server announces a change, and when it does not
 * know a tool. If it cannot be read again, the last one is used. While a server is away, turns do not wait for
 * it, unless they need it: it is tried again in the background.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallToolResult, Client, Tool } from '@modelcontextprotocol/client';
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { CredentialsError } from '../errors.ts';
import {
  classifyLoss,
  findBusyError,
  isOutdated,
  isRefusal,
  namesUnknownTool,
  NotOpenError,
  UnknownToolError,
} from './failures.ts';
import { openClient, type OpenConnection } from './open-client.ts';
import { describeProgress } from './progress.ts';
import { toCallError, toListError } from './reported-errors.ts';
import { getRetryDelayMs } from './retries.ts';
import { createTaskRequests, startsTask, type TaskRequests } from './tasks/requests.ts';
import type { ToolAnswers } from './tasks/elicitation.ts';
import type { ToolList } from './tool-list.ts';

export interface McpCall {
  tool: Tool;
  args: Record<string, unknown>;
  idempotencyKey: string;
  /** Where the tool may send its result later. */
  callbackUrl?: string | undefined;
  /** Repeating the call does no harm. */
  repeatable: boolean;
  /** The answers to what the tool has asked, with its state. */
  answers?: ToolAnswers | undefined;
  signal: AbortSignal;
  /** Called with the progress that the tool reports, as a text for clients. */
  report?: ((progress: string) => void) | undefined;
}

export interface ListedTools {
  /** The newest list that could be read; undefined: none. */
  list: ToolList | undefined;
  /** Why the server is away; undefined: it is not. */
  away: Error | undefined;
}

const idleMs = 10 * 60_000;

/** How long a failed attempt spares turns another one, and the time between attempts in the background. */
const awayMs = 60_000;
const probeMs = 2000;

export class McpConnection {
  readonly #name: string;
  readonly #server: McpServerDefinition;
  readonly #getSecret: (name: string) => string | undefined;
  #open: Promise<OpenConnection> | undefined;
  #busy = 0;
  #calls = 0;
  #idle: NodeJS.Timeout | undefined;
  #lastGood: ToolList | undefined;
  #away: { error: Error; at: number } | undefined;
  #reading: Promise<ListedTools> | undefined;

  constructor(name: string, server: McpServerDefinition, getSecret: (name: string) => string | undefined) {
    this.#name = name;
    this.#server = server;
    this.#getSecret = getSecret;
  }

  /** Does not wait for a server that was away within the last minute. Never rejects. */
  async listTools(): Promise<ListedTools> {
    const away = this.#away;
    const awayForMs = away === undefined ? Infinity : performance.now() - away.at;
    if (away === undefined || awayForMs > awayMs) return this.#read();
    if (awayForMs > probeMs) void this.#read();
    return { list: this.#lastGood, away: away.error };
  }

  /**
   * Waits until the server can be called.
   *
   * @throws {CredentialsError | RetryableError} if it cannot
   */
  async prepare(): Promise<void> {
    if (this.#away === undefined) return;
    const { away } = await this.#read();
    if (away !== undefined) throw away;
  }

  #read(): Promise<ListedTools> {
    this.#reading ??= this.#whileBusy(async () => {
      try {
        this.#lastGood = await this.#list();
        this.#away = undefined;
      } catch (error) {
        this.#away = { error: toListError(error, this.#name), at: performance.now() };
      }
      return { list: this.#lastGood, away: this.#away?.error };
    }).finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  /**
   * @throws {CredentialsError} if the server refuses the credentials, or some are missing
   * @throws {RetryableError} if the call did not reach the server, unless the server is optional
   * @throws {Error} with a message for the model, for every other failure
   */
  async call(call: McpCall): Promise<CallToolResult> {
    return this.#whileBusy(async () => {
      const deadline = performance.now() + this.#server.timeoutSeconds * 1000;
      let { tool } = call;
      let listedAgain = false;
      for (let attempt = 0; ; attempt += 1) {
        try {
          return await this.#callOnce({ ...call, tool });
        } catch (error) {
          call.signal.throwIfAborted();
          if (error instanceof UnknownToolError) {
            const listed = await this.#listAgain(tool.name);
            if (listed === undefined || listedAgain) throw error;
            listedAgain = true;
            tool = listed;
            continue;
          }
          const loss = classifyLoss(error);
          const delayMs = getRetryDelayMs(error, loss, attempt, call.repeatable);
          const isBusy = findBusyError(error) !== undefined;
          if (delayMs === undefined || (isBusy && performance.now() + delayMs > deadline)) {
            if (loss === 'before_call') {
              this.#away = { error: toListError(error, this.#name), at: performance.now() };
            }
            throw toCallError(error, loss, this.#name, this.#server);
          }
          await sleep(delayMs, undefined, { signal: call.signal });
        }
      }
    });
  }

  async #callOnce({
    tool,
    args,
    idempotencyKey,
    callbackUrl,
    answers,
    signal,
    report,
  }: McpCall): Promise<CallToolResult> {
    const connection = await this.#connected().catch((error: unknown) => {
      throw isRefusal(error) || error instanceof CredentialsError ? error : new NotOpenError(error);
    });
    const params = {
      name: tool.name,
      arguments: args,
      ...answers,
      ...(startsTask(connection.client, tool) && { task: {} }),
      _meta: {
        'dev.longhaul/idempotencyKey': idempotencyKey,
        ...(callbackUrl !== undefined && { 'dev.longhaul/callbackUrl': callbackUrl }),
      },
    };
    // Without the output schema: the client would throw away a result that does not match it.
    const { outputSchema: _, ...toolDefinition } = tool;
    this.#calls += 1;
    try {
      const timeout = this.#server.timeoutSeconds * 1000;
      const result = await connection.client.callTool(params, {
        signal,
        timeout,
        toolDefinition,
        onprogress: (progress) => report?.(describeProgress(progress)),
        resetTimeoutOnProgress: true,
        maxTotalTimeout: Math.max(timeout, this.#server.maxSeconds * 1000),
      });
      const [block] = result.content;
      if (result.isError === true && block?.type === 'text' && namesUnknownTool(block.text, tool.name)) {
        throw new UnknownToolError(block.text);
      }
      return result;
    } catch (error) {
      if (isOutdated(error, tool.name))
        throw new UnknownToolError((error as Error).message, { cause: error });
      if (classifyLoss(error) !== undefined) await this.#drop(connection);
      throw error;
    } finally {
      this.#calls -= 1;
    }
  }

  /** Returns the last list if a newer one cannot be read. Closes no connection on which calls run, unless it is lost. */
  async #list(): Promise<ToolList> {
    const connection = await this.#connected();
    try {
      return await connection.list.get();
    } catch (error) {
      const isLost = classifyLoss(error) !== undefined;
      if (isLost || this.#calls === 0) await this.#drop(connection);
      const { lastGood } = connection.list;
      if (isLost || isRefusal(error) || lastGood === undefined) throw error;
      return lastGood;
    }
  }

  /** Reads the list again and returns the tool if it is in it. */
  async #listAgain(name: string): Promise<Tool | undefined> {
    const connection = await this.#connected().catch(() => undefined);
    connection?.list.expire();
    const list = await connection?.list.get().catch(() => undefined);
    return list?.tools.find((tool) => tool.name === name);
  }

  /**
   * Runs requests about the tasks of the server.
   *
   * @throws {CredentialsError | RetryableError} if they fail: a task may run for days, so a fault that may pass does not end it
   */
  async withTasks<T>(signal: AbortSignal, run: (tasks: TaskRequests) => Promise<T>): Promise<T> {
    return this.#whileBusy(async () => {
      let connection: OpenConnection | undefined;
      try {
        connection = await this.#connected();
        return await run(createTaskRequests(connection.client, this.#server.timeoutSeconds * 1000));
      } catch (error) {
        signal.throwIfAborted();
        if (connection !== undefined && classifyLoss(error) !== undefined) await this.#drop(connection);
        throw toListError(error, this.#name);
      }
    });
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

  #connect(): Promise<OpenConnection> {
    const onClose = (client: Client): void => this.#forget(client);
    return openClient(this.#name, this.#server, this.#getSecret, onClose);
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
}
