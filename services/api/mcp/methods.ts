/** The methods of MCP by the era of their revision. The SDK has those of its own: discovery, the handshake, and pings. */
import { errorCode, McpError } from './errors.ts';
import type { TaskCalls } from './tasks/calls.ts';
import type { McpCall, ToolCalls } from './tools/calls.ts';

export type Params = Readonly<Record<string, unknown>>;
export type Method = (params: Params, call: McpCall) => Promise<object> | object;
export type Era = McpCall['era'];

export interface MethodsParts {
  toolCalls: ToolCalls;
  taskCalls: TaskCalls;
}

export function createMethods({
  toolCalls,
  taskCalls,
}: MethodsParts): Record<Era, ReadonlyMap<string, Method>> {
  const common: [string, Method][] = [
    ['tools/list', (_params, call) => ({ tools: toolCalls.list(call) })],
    [
      'tools/call',
      (params, call) => {
        const { name, arguments: args = null } = params;
        if (typeof name !== 'string')
          throw new McpError(errorCode.invalidParams, 'name must be the name of a tool');
        if (typeof args !== 'object' || Array.isArray(args))
          throw new McpError(
            errorCode.invalidParams,
            'arguments must be an object, with a field for each argument',
          );
        return toolCalls.call({ ...params, name }, call);
      },
    ],
    ['tasks/get', (params, call) => taskCalls.get(params, call)],
    ['tasks/cancel', (params, call) => taskCalls.cancel(params, call)],
  ];
  return {
    modern: new Map([...common, ['tasks/update', (params, call) => taskCalls.update(params, call)]]),
    legacy: new Map([
      ...common,
      ['tasks/result', (params, call) => taskCalls.result(params, call)],
      ['tasks/list', (params, call) => taskCalls.list(params, call)],
    ]),
  };
}
