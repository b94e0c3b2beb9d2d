/**
 * Additions of Google to a reply: agents add by their configuration (ai.google.dev/gemini-api/docs/interactions/deep-research,
 * 2026-06-22) a plan before the work, summaries of thoughts, and images; Google Search its steps and a citation.
 */
import { createTextReply, type Reply } from '../reply.ts';
import { getLastUserText, type GenerateRequest } from '../wire.ts';
import type { CreateRequest, ToolStep, WireStep } from './wire.ts';

/** One transparent pixel. */
const image =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';

const maxQuoteLength = 200;

/** Returns the plan that Deep Research proposes if it plans together with the user. */
export function getPlan(
  { agent_config: config }: CreateRequest,
  request: GenerateRequest,
): Reply | undefined {
  if (config?.collaborative_planning !== true) return undefined;
  const topic = getLastUserText(request).trim().slice(0, maxQuoteLength);
  return createTextReply(
    `Research plan (from the offline model) for “${topic}”:\n1. Collect sources.\n2. Compare them.\n3. Write a report with citations.`,
  );
}

/** Returns the steps of Google Search and of MCP servers, if the request switches them on. No server is called. */
export function getToolSteps({ tools = [] }: CreateRequest): ToolStep[] {
  const id = 'search-1';
  const search: ToolStep[] = [
    { type: 'google_search_call', id, arguments: { queries: ['offline'] }, signature: 'offline' },
    { type: 'google_search_result', call_id: id, result: [{ url: source.url, title: source.title }] },
  ];
  return [
    ...(tools.some(({ type }) => type === 'google_search') ? search : []),
    ...tools.flatMap((tool) => (tool.type === 'mcp_server' ? getServerSteps(tool) : [])),
  ];
}

function getServerSteps({
  name: server,
  allowed_tools: allowed,
}: NonNullable<CreateRequest['tools']>[number]): ToolStep[] {
  const call = { name: allowed?.[0]?.tools?.[0] ?? 'look', server_name: server };
  const id = `mcp-${server}`;
  return [
    { type: 'mcp_server_tool_call', id, ...call, arguments: {} },
    { type: 'mcp_server_tool_result', call_id: id, ...call, result: 'The offline model calls no servers.' },
  ];
}

const source = { url: 'https://example.com/source', title: 'A source' };

/** Cites the source in the first text. */
export function cite(steps: WireStep[]): WireStep[] {
  for (const step of steps) {
    const content = step.type === 'model_output' ? step.content?.[0] : undefined;
    if (content?.text === undefined) continue;
    const end = Buffer.byteLength(content.text);
    content.annotations = [{ type: 'url_citation', ...source, start_index: 0, end_index: end }];
    break;
  }
  return steps;
}

export function decorateReply(reply: Reply, { agent_config: config }: CreateRequest): Reply {
  if (config === undefined || reply.error !== undefined) return reply;
  const { thinking_summaries: summaries, visualization, collaborative_planning: plans } = config;
  return {
    ...reply,
    pieces: [
      ...(summaries === 'auto' ? [{ text: 'Looking for sources.', thought: true }] : []),
      ...reply.pieces,
      ...(visualization === 'auto' && plans !== true
        ? [{ inlineData: { data: image, mimeType: 'image/png' } }]
        : []),
    ],
  };
}
