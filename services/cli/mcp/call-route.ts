/** Calls the routes of tools over HTTP, as the commands do. */
import type { CallRoute, RouteCall } from '#shared/mcp/tool.ts';
import { RouteError, ToolError } from '#shared/mcp/errors.ts';
import { connect, type Agent } from '../agent/connect.ts';
import { getMessage } from '../agent/http.ts';
import { requestRoute } from '../agent/rest.ts';
import { CliError } from '../failure.ts';
import type { Target } from '../settings/settings.ts';

const timeoutMs = 60_000;

/** Connects with the first call, and again after a failure: the agent may start later than its tools. */
export function createHttpCaller(target: Target): CallRoute {
  let connecting: Promise<Agent> | undefined;

  function getAgent(): Promise<Agent> {
    // The signal of the connection ends with its call, and each request has its own.
    connecting ??= connect(target, AbortSignal.timeout(timeoutMs)).catch((error: unknown) => {
      connecting = undefined;
      throw error;
    });
    return connecting;
  }

  return async (call) => {
    try {
      return await send(await getAgent(), call);
    } catch (error) {
      throw error instanceof CliError ? new ToolError(error.message) : error;
    }
  };
}

async function send(agent: Agent, call: RouteCall): Promise<unknown> {
  const { method, extension, body } = call;
  const signal = AbortSignal.timeout(timeoutMs);
  const response = await requestRoute(agent, extension, toPath(call), { method, body, signal });
  if (!response.ok) throw new RouteError(response.status, await getMessage(response));
  return response.json();
}

/** Fills in the parameters of the path, and appends those of the query. */
export function toPath({ route, path = {}, query = {} }: RouteCall): string {
  const filled = route
    .replace('::', ':')
    .replaceAll(/\/:(\w+)/g, (_, name: string) => `/${toSegment(path[name] ?? '')}`);
  const values = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return values.length === 0 ? filled : `${filled}?${new URLSearchParams(values).toString()}`;
}

/** @throws {RouteError} for `.` and `..`, which would change the route (RFC 3986, section 5.2.4) */
function toSegment(id: string): string {
  if (id === '.' || id === '..') throw new RouteError(404, `not found: "${id}"`);
  return encodeURIComponent(id);
}
