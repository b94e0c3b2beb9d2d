/** Creates what a turn hands to its client: the answer of the models, and the values of a graph that has ended. */
import { toModelUsage } from '#services/worker/agent/gemini/model/cost.ts';
import type { ArtifactStream, StateLog, Turn, TurnOutcome } from '#services/worker/agent/agent.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { Json } from '#shared/domain/message.ts';
import { AnswerHandler } from './answer.ts';

/** @param failure remembers an error that ends the turn, even if the graph catches it */
export function createAnswer(turn: Turn, log: StateLog, failure: { error?: unknown }): AnswerHandler {
  const { prices = {} } = turn.definition as { prices?: AgentDefinition['prices'] };
  let stream: ArtifactStream | undefined;
  return new AnswerHandler({
    write: (text) => {
      stream ??= turn.openArtifact(getHead(turn));
      stream.write({ text });
    },
    beforeCall: async () => {
      try {
        log.stopping.throwIfAborted();
        await turn.checkSpending();
      } catch (error) {
        failure.error ??= error;
        throw error;
      }
    },
    toUsage: (model, tokens) => {
      if (tokens === undefined) return undefined;
      const { prompt, cached, tool, thoughts, output } = tokens;
      return toModelUsage(
        {
          promptTokenCount: prompt,
          cachedContentTokenCount: cached,
          toolUsePromptTokenCount: tool,
          thoughtsTokenCount: thoughts,
          candidatesTokenCount: output,
        },
        model,
        prices,
      );
    },
  });
}

function getHead({ number }: Turn): { artifactId: string; name: string } {
  return { artifactId: number === 1 ? 'answer' : `answer-${number}`, name: 'Answer' };
}

/**
 * Completes the turn with what the models have said. A last message that no model has said is added; a graph without
 * messages answers with its values.
 */
export async function complete(turn: Turn, answer: AnswerHandler, values: unknown): Promise<TurnOutcome> {
  const { messages, structuredResponse } = (values ?? {}) as {
    messages?: unknown;
    structuredResponse?: unknown;
  };
  const head = getHead(turn);
  if (Array.isArray(messages)) {
    const text = getText(messages.at(-1));
    if (!answer.text.endsWith(text)) answer.say(text);
  } else if (answer.text === '') {
    await turn.artifact({ ...head, parts: [{ data: toJson(values), mediaType: 'application/json' }] });
  }
  if (structuredResponse !== undefined) {
    await turn.artifact({
      artifactId: `${head.artifactId}-data`,
      name: 'Answer as data',
      parts: [{ data: toJson(structuredResponse), mediaType: 'application/json' }],
    });
  }
  return { state: 'TASK_STATE_COMPLETED' };
}

function getText(message: unknown): string {
  const { text, content } = (message ?? {}) as { text?: unknown; content?: unknown };
  if (typeof text === 'string') return text;
  return typeof content === 'string' ? content : '';
}

function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value ?? null)) as Json;
}
