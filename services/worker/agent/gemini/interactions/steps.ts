/**
 * Converts a conversation between its stored form, Gemini's contents, and the steps of the Interactions API
 * (ai.google.dev/api/interactions-api, types of @google/genai 3.1). Pure.
 *
 *   user text and files        user_input             thought with its signature   thought
 *   response to a call         function_result        text and files of the model  model_output
 *                                                     function call                function_call
 */
import type { Content, Interactions, Part } from '@google/genai';

export type Step = Interactions.Step;
type StepContent = Interactions.Content;

/**
 * Gemini signs calls, and refuses a history whose calls lack their signatures, which the types omit
 * (https://github.com/evansenter/genai-rs, docs/ENUM_WIRE_FORMATS.md, tests against the API in July 2026).
 */
type SignedCall = Interactions.FunctionCallStep & { signature?: string };

export function toSteps(contents: readonly Content[]): Step[] {
  return contents.flatMap(({ role, parts = [] }) => joinSteps(parts.flatMap((part) => toStep(role, part))));
}

function toStep(role: string | undefined, part: Part): Step[] {
  const { thought, text, thoughtSignature, functionCall, functionResponse } = part;
  if (thought === true) {
    if (thoughtSignature === undefined) return [];
    const summary = text === undefined || text === '' ? [] : [{ type: 'text' as const, text }];
    return [{ type: 'thought', signature: thoughtSignature, ...(summary.length > 0 && { summary }) }];
  }
  if (functionCall !== undefined) {
    const { id, name = '', args = {} } = functionCall;
    const call: SignedCall = {
      type: 'function_call',
      id: id ?? name,
      name,
      arguments: args,
      ...(thoughtSignature !== undefined && { signature: thoughtSignature }),
    };
    return [call];
  }
  if (functionResponse !== undefined) {
    const { id, name = '', response = {}, parts = [] } = functionResponse;
    const files = parts.flatMap(({ inlineData = {} }) => toContent({ inlineData }));
    const result =
      files.length === 0 ? response : [{ type: 'text' as const, text: JSON.stringify(response) }, ...files];
    return [
      {
        type: 'function_result',
        call_id: id ?? name,
        name,
        result,
        ...('error' in response && { is_error: true }),
      },
    ];
  }
  const content = toContent(part);
  if (content.length === 0) return [];
  return [{ type: role === 'model' ? 'model_output' : 'user_input', content }];
}

function toContent({ text, inlineData, fileData }: Part): StepContent[] {
  if (text !== undefined) return text === '' ? [] : [{ type: 'text', text }];
  const mimeType = inlineData?.mimeType ?? fileData?.mimeType ?? '';
  const file = {
    mime_type: mimeType,
    ...(inlineData?.data !== undefined && { data: inlineData.data }),
    ...(fileData?.fileUri !== undefined && { uri: fileData.fileUri }),
  };
  if (file.data === undefined && file.uri === undefined) return [];
  const [kind] = mimeType.split('/');
  if (kind === 'image' || kind === 'audio' || kind === 'video') return [{ type: kind, ...file }];
  return [{ type: 'document', ...file }];
}

/** Joins adjacent inputs and outputs into one step each. */
function joinSteps(steps: readonly Step[]): Step[] {
  const joined: Step[] = [];
  for (const step of steps) {
    const last = joined.at(-1);
    const hasContent = step.type === 'user_input' || step.type === 'model_output';
    if (hasContent && last?.type === step.type)
      last.content = [...(last.content ?? []), ...(step.content ?? [])];
    else joined.push({ ...step });
  }
  return joined;
}

/** Returns the steps of the reply alone. An interaction that is read may have those of its whole conversation. */
export function getReplySteps(steps: readonly Step[]): Step[] {
  const input = steps.findLastIndex(({ type }) => type === 'user_input' || type === 'function_result');
  return steps.slice(input + 1);
}

/** Returns the parts of a reply. Steps of Google's own tools other than code are left out. */
export function toParts(steps: readonly Step[]): Part[] {
  return steps.flatMap(toStepParts);
}

function toStepParts(step: Step): Part[] {
  if (step.type === 'thought') {
    const text = (step.summary ?? []).flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
    const { signature } = step;
    return [{ thought: true, text, ...(signature !== undefined && { thoughtSignature: signature }) }];
  }
  if (step.type === 'function_call') {
    const { id, name, arguments: args, signature }: SignedCall = step;
    return [
      { functionCall: { id, name, args }, ...(signature !== undefined && { thoughtSignature: signature }) },
    ];
  }
  if (step.type === 'model_output') return (step.content ?? []).flatMap(toContentPart);
  if (step.type === 'code_execution_call') return [{ executableCode: { code: step.arguments.code ?? '' } }];
  if (step.type === 'code_execution_result') {
    const { result } = step;
    return [
      { codeExecutionResult: { output: typeof result === 'string' ? result : JSON.stringify(result) } },
    ];
  }
  return [];
}

function toContentPart(content: StepContent): Part[] {
  if (content.type === 'text') return [{ text: content.text }];
  const { data, uri, mime_type: mimeType = 'application/octet-stream' } = content;
  if (data !== undefined) return [{ inlineData: { data, mimeType } }];
  return uri === undefined ? [] : [{ fileData: { fileUri: uri, mimeType } }];
}
