/** Reads what a turn gives to the model: the parts of its message, and the tasks that the message refers to. */
import type { Part as GeminiPart } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { TurnDownloads } from '../../files/downloads.ts';
import type { GeminiModel } from '../model/call.ts';
import { toGeminiParts } from './message-parts.ts';
import type { LoopTurn } from './recorded-turn.ts';
import { toReferenceParts } from './references.ts';
import { createTextFileReader } from './text-files.ts';

export interface TurnReader {
  toGeminiParts(parts: readonly Part[]): Promise<GeminiPart[]>;
  toReferenceParts(): Promise<GeminiPart[]>;
}

export function createTurnReader(
  turn: LoopTurn,
  {
    definition,
    downloads,
    model,
  }: { definition: AgentDefinition; downloads: TurnDownloads; model: GeminiModel },
): TurnReader {
  const { client, buckets } = model;
  return {
    toGeminiParts: (parts) => toGeminiParts(turn, parts, { downloads, buckets, vertexai: client.vertexai }),
    toReferenceParts: async () => {
      const { message, references } = turn;
      const inline = createTextFileReader((url) => turn.readFile(url));
      const parts: GeminiPart[] = [];
      for (const task of references) {
        if (message.referenceTaskIds?.includes(task.taskId) !== true) continue;
        parts.push(...(await toReferenceParts(task, inline, definition.history.maxTokens)));
      }
      return parts;
    },
  };
}
