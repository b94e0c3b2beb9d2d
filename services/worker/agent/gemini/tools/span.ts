/** The span of one call of a tool, by OpenTelemetry's semantic conventions of generative AI. */
import { inSpan } from '#shared/runtime/spans.ts';
import type { Call, ToolReply } from './tool.ts';

export async function inToolSpan({ id, name }: Call, run: () => Promise<ToolReply>): Promise<ToolReply> {
  const attributes = {
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': name,
    'gen_ai.tool.type': 'function',
    ...(id !== undefined && { 'gen_ai.tool.call.id': id }),
  };
  return inSpan(`execute_tool ${name}`, { attributes }, async (span) => {
    const reply = await run();
    // What the tool gets wrong is told to the model, and ends nothing: the span is where it can be seen.
    if ('error' in reply.response) span.setAttribute('error.type', 'tool_error');
    return reply;
  });
}
