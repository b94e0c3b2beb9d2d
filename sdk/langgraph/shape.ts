/**
 * The nodes of a graph, and the tools of each: what a thread that is under way needs of the code. LangGraph ends a thread
 * silently if its next node is gone.
 */
import { FatalError } from '#shared/domain/errors.ts';

/** The names of tools, by node. */
export type Shape = Record<string, string[]>;

export function getShape(nodes: Readonly<Record<string, unknown>>): Shape {
  return Object.fromEntries(
    Object.entries(nodes).map(([name, node]) => {
      const { tools } = ((node as { bound?: unknown }).bound ?? {}) as { tools?: unknown };
      const named = Array.isArray(tools) ? (tools as { name?: unknown }[]) : [];
      return [name, named.flatMap((tool) => (typeof tool.name === 'string' ? [tool.name] : []))];
    }),
  );
}

/** @throws {FatalError} if the graph lacks a node or a tool that it had */
export function assertShape(present: Shape, recorded: Shape): void {
  for (const [node, tools] of Object.entries(recorded)) {
    const known = present[node];
    const missing =
      known === undefined
        ? `node "${node}"`
        : tools
            .filter((tool) => !known.includes(tool))
            .map((tool) => `tool "${tool}" in the node "${node}"`)[0];
    if (missing === undefined) continue;
    throw new FatalError(
      `The graph has no ${missing}, but the thread was started with it: the agent's code has changed. Keep the name until no ` +
        'thread is under way, or declare a version of the agent (docs/develop/versions.md).',
    );
  }
}
