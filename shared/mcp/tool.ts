/**
 * The tools with which coding agents and operators look into a running system (docs/develop/coding-agents.md). One table serves
 * both transports: `/mcp` of the front door, and `longhaul mcp` over stdio. A tool calls routes of extensions, in the process or over
 * HTTP, so that it has the rights and the audit of those routes and no others.
 */
import type { JsonObject } from '../domain/message.ts';
import { readArguments, toInputSchema, type Arguments, type ObjectSchema, type Values } from './arguments.ts';

/** A request to a route of an extension. */
export interface RouteCall {
  method: 'GET' | 'POST';
  /** The URI of the extension that has the route. */
  extension: string;
  /** The path as it is registered: `/tasks/:taskId/timeline`. */
  route: string;
  /** The values of its parameters. */
  path?: Readonly<Record<string, string>>;
  /** Values that are undefined are left out. */
  query?: Readonly<Record<string, string | number | undefined>>;
  body?: JsonObject;
}

/**
 * Returns the JSON of the answer.
 *
 * @throws {RouteError} if the request is refused
 */
export type CallRoute = (call: RouteCall) => Promise<unknown>;

/** The same content twice: `text` for the model, `data` for programs. */
export interface Answer {
  text: string;
  data: Record<string, unknown>;
}

/** Effects of a tool on the system (MCP 2026-07-28, server/tools, "ToolAnnotations"). */
export interface Effect {
  readOnlyHint: boolean;
  destructiveHint: boolean;
  idempotentHint: boolean;
}

export const reads: Effect = { readOnlyHint: true, destructiveHint: false, idempotentHint: true };

/** A tool as MCP lists it. */
export interface ToolDefinition {
  name: string;
  title: string;
  description: string;
  inputSchema: ObjectSchema;
  outputSchema: ObjectSchema;
  annotations: Effect & { title: string; openWorldHint: false };
}

export interface OpsTool {
  definition: ToolDefinition;
  /** @throws {ToolError} for arguments that are not valid, and for requests that are refused */
  run: (args: unknown, callRoute: CallRoute) => Promise<Answer>;
}

interface ToolSpec<A extends Arguments> {
  name: `ops_${string}`;
  title: string;
  description: string;
  effect: Effect;
  args: A;
  /** The fields of `data`; all are optional. */
  output: Record<string, JsonObject>;
  run: (args: Values<A>, callRoute: CallRoute) => Promise<Answer>;
}

export function defineTool<const A extends Arguments>(spec: ToolSpec<A>): OpsTool {
  const { name, title, description, effect, args, output, run } = spec;
  return {
    definition: {
      name,
      title,
      description,
      inputSchema: toInputSchema(args),
      outputSchema: { type: 'object', properties: output },
      annotations: { title, ...effect, openWorldHint: false },
    },
    run: async (given, callRoute) => run(readArguments(name, args, given), callRoute),
  };
}

export const text: JsonObject = { type: 'string' };
export const count: JsonObject = { type: 'integer' };
export const objects: JsonObject = { type: 'array', items: { type: 'object' } };
export const texts: JsonObject = { type: 'array', items: { type: 'string' } };
