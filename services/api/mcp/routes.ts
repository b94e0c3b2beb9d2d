/**
 * MCP at `/mcp`, over Streamable HTTP (docs/use/mcp.md): the tasks of A2A for hosts of MCP. A request passes the same
 * authentication, limits and audit as those of the other bindings, and then the SDK.
 */
import type { AgentCard } from '@a2a-js/sdk';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import type { AuditLog } from '#shared/runtime/audit.ts';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { createCallContext, createDisconnectController } from '../bindings/call-context.ts';
import type { CallOpenRoute } from '../extensions/call-route.ts';
import { getSignal } from '../handler/call-state.ts';
import { toClientError } from '../handler/errors.ts';
import { sendFailure, type FailureFormat } from '../http/failure.ts';
import { sendStream } from '../http/sse.ts';
import { getAdmittedCaller } from '../limits/admission.ts';
import { answerDirectly, type DirectParts } from './direct.ts';
import { createMcpFailure } from './errors.ts';
import { listenToTasks, type ListenParts } from './tasks/listen.ts';
import { readMessage, type McpMessage } from './message.ts';
import { createMethods } from './methods.ts';
import { registerOAuthMetadata, toChallenges } from './oauth.ts';
import { checkOrigin } from './origin.ts';
import { mcpPath } from './protocol.ts';
import type { McpExchange, ServeMcp } from './server.ts';
import { TaskCalls } from './tasks/calls.ts';
import { Tasks, type TasksParts } from './tasks/tasks.ts';
import { ToolCalls } from './tools/calls.ts';
import { createSkillReader } from './tools/list.ts';
import { OperatorTools } from './tools/operators.ts';

export interface McpRoutesParts extends TasksParts {
  /** Returns the card as callers see it: the extended one, if there is one. */
  getFullCard: () => AgentCard;
  auth: AuthConfig;
  publicUrl: string;
  corsOrigins: readonly string[];
  bodyLimitBytes: number;
  sendWaitMs: number;
  retentionSeconds: number;
  callRoute: CallOpenRoute;
  audit: AuditLog;
  log: Logger;
}

export function registerMcp(app: FastifyInstance, parts: McpRoutesParts): void {
  const { bodyLimitBytes, log } = parts;
  const tasks = new Tasks(parts);
  const listening: ListenParts = { ...parts, tasks };
  const challenges = toChallenges(parts);
  const createFormat = (id?: unknown): FailureFormat => ({
    ...createMcpFailure(id),
    toChallenges: challenges,
  });
  const methods = createMethods({
    toolCalls: new ToolCalls({
      ...parts,
      tasks,
      getSkills: createSkillReader(parts.getFullCard),
      operatorTools: new OperatorTools(parts),
    }),
    taskCalls: new TaskCalls({ ...parts, tasks }),
  });
  const direct: DirectParts = { ...parts, methods: methods.modern, createFormat };
  const serve = createServing(parts, methods);

  registerOAuthMetadata(app, parts);
  app.route({
    method: ['GET', 'POST', 'DELETE'],
    url: mcpPath,
    bodyLimit: bodyLimitBytes,
    config: { audit: 'operation', failure: createFormat() },
    handler: async (request, reply) => {
      let message: McpMessage | undefined;
      try {
        checkOrigin(request, parts);
        message = request.method === 'POST' ? readMessage(request) : undefined;
      } catch (error) {
        return sendFailure(reply, log, error, createFormat());
      }
      const context = createContext(request, reply, message);
      if (message?.listen !== undefined) {
        const format = createFormat(message.listen.id);
        try {
          return await sendStream(reply, listenToTasks(listening, message.listen, context), {
            id: () => undefined,
            event: (payload) => payload,
            error: (error) => format.toBody(toClientError(log, error), 500),
            onStart: () => undefined,
          });
        } catch (error) {
          return sendFailure(reply, log, error, format);
        }
      }
      if (message?.direct !== undefined) {
        // Not the reply itself: to await it is to wait until it is sent.
        if (await answerDirectly(direct, message.direct, context, reply)) return reply;
      }
      const exchange: McpExchange = { context };
      const response = await (await serve())(toWebRequest(request, context), message?.body, exchange);
      if (exchange.failure !== undefined && !isStream(response)) {
        return sendFailure(reply, log, exchange.failure, createFormat(message?.id));
      }
      return sendResponse(reply, response);
    },
  });
}

/** Loads the SDK with the first request that needs it. */
function createServing(
  parts: McpRoutesParts,
  methods: ReturnType<typeof createMethods>,
): () => Promise<ServeMcp> {
  let loading: Promise<ServeMcp> | undefined;
  const load = async (): Promise<ServeMcp> => {
    const { createMcpServing } = await import('./server.ts');
    return createMcpServing({ ...parts, methods });
  };
  return () => (loading ??= load());
}

function createContext(
  request: FastifyRequest,
  reply: FastifyReply,
  message: McpMessage | undefined,
): ServerCallContext {
  const { traceparent } = request.headers;
  return createCallContext({
    version: '1.0',
    extensions: [],
    user: getAdmittedCaller(request),
    address: () => request.ip,
    traceparent: typeof traceparent === 'string' ? traceparent : message?.traceparent,
    controller: createDisconnectController(reply),
  });
}

/** The headers that the SDK reads. The body is parsed. */
const readHeaders = [
  'accept',
  'content-type',
  'mcp-protocol-version',
  'mcp-method',
  'mcp-name',
  'mcp-session-id',
];

function toWebRequest({ method, headers }: FastifyRequest, context: ServerCallContext): Request {
  const passed = new Headers();
  for (const name of readHeaders) {
    const value = headers[name];
    if (value !== undefined) passed.set(name, String(value));
  }
  return new Request(`http://localhost${mcpPath}`, { method, headers: passed, signal: getSignal(context) });
}

function isStream({ headers }: Response): boolean {
  return headers.get('content-type')?.startsWith('text/event-stream') === true;
}

async function sendResponse(reply: FastifyReply, response: Response): Promise<FastifyReply> {
  void reply.code(response.status);
  for (const [name, value] of response.headers) if (name !== 'connection') void reply.header(name, value);
  if (response.body === null) return reply.send();
  if (!isStream(response)) return reply.send(await response.text());
  return reply.send(Readable.fromWeb(response.body));
}
