/** The settings of the model, or of one of Google's agents. Which of them go together is checked by model-api.ts. */
import * as v from 'valibot';
import { serviceTiers } from '../domain/service-tier.ts';
import {
  atLeast,
  atMost,
  choice,
  Count,
  FiniteNumber,
  Flag,
  Integer,
  list,
  nonEmptyList,
  strictMapping,
  Text,
} from './fields.ts';

const defaultCollectSeconds = 60;

/** The configuration of one of Google's agents (`agent_config`; types of @google/genai 3.1). */
const AgentConfig = strictMapping({
  /** Deep Research proposes a plan first, which the user confirms or changes. */
  collaborativePlanning: v.exactOptional(Flag),
  /** Deep Research sends summaries of its thoughts, which become progress of the task. Needs `stream`. */
  thinkingSummaries: v.exactOptional(choice(['auto', 'none'])),
  /** Deep Research adds images to its report. */
  visualization: v.exactOptional(choice(['auto', 'off'])),
  /** The model that a managed agent uses. */
  model: v.exactOptional(Text),
  /** The most tokens that a managed agent uses for one call. */
  maxTotalTokens: v.exactOptional(Count),
});

/** Where a managed agent works. Default: a new sandbox for each task. */
const Environment = strictMapping({
  /** An existing environment. */
  id: v.exactOptional(Text),
  /** The domains that it may reach, with `*` as a wildcard; none: no network. Default: all. */
  allowDomains: v.exactOptional(list(Text)),
  /** Content that is mounted into it. */
  sources: v.exactOptional(
    nonEmptyList(
      strictMapping({
        type: choice(['gcs', 'repository', 'inline', 'skill_registry']),
        /** The path in Cloud Storage, or the address of the repository. */
        source: v.exactOptional(Text),
        /** Where it appears. */
        target: v.exactOptional(Text),
        /** The content of an inline source. */
        content: v.exactOptional(Text),
      }),
    ),
  ),
});

export const ModelSettings = strictMapping({
  /** A model, or one of Google's agents. */
  name: v.optional(Text, 'gemini-3.8-flash'),
  /** Default: by the table of model-api.ts. */
  api: v.exactOptional(choice(['interactions', 'generateContent'])),
  /** Whether calls run at Google while no worker waits. Default: auto, for agents and slow models (model-api.ts). */
  background: v.exactOptional(choice(['always', 'never', 'auto'])),
  /** Whether the text of a call in the background is streamed. A worker is busy while text comes. Default: false. */
  stream: v.exactOptional(Flag),
  /** False: Google keeps no request and no reply, so that the history is sent with each call. Not in the background. */
  store: v.exactOptional(Flag),
  /** How soon calls are answered, and at which price. Default: Google's, `standard`. */
  serviceTier: v.exactOptional(choice(serviceTiers)),
  /** The tiers that tasks may choose instead. Default: none. */
  taskServiceTiers: v.exactOptional(nonEmptyList(choice(serviceTiers))),
  /** How calls of the tier `batch` are collected. */
  batch: v.exactOptional(
    strictMapping({
      /** How long the first call waits for others of its definition. */
      collectSeconds: v.optional(v.pipe(Count, atMost(86_400)), defaultCollectSeconds),
    }),
  ),
  /** The stores in which the tool `file_search` searches. */
  fileSearchStores: v.exactOptional(nonEmptyList(Text)),
  agentConfig: v.exactOptional(AgentConfig),
  environment: v.exactOptional(Environment),
  temperature: v.exactOptional(v.pipe(FiniteNumber, atLeast(0), atMost(2))),
  topP: v.exactOptional(v.pipe(FiniteNumber, atLeast(0), atMost(1))),
  topK: v.exactOptional(Count),
  maxOutputTokens: v.exactOptional(Count),
  /** The limit of thinking tokens, for models before Gemini 3. 0: none. -1: the model decides. */
  thinkingBudget: v.exactOptional(v.pipe(Integer, atLeast(-1))),
  /** How much the model thinks, for Gemini 3 and later. */
  thinkingLevel: v.exactOptional(choice(['minimal', 'low', 'medium', 'high'])),
});

export type ModelSettings = v.InferOutput<typeof ModelSettings>;

export function getCollectSeconds({ batch }: Pick<ModelSettings, 'batch'>): number {
  return batch?.collectSeconds ?? defaultCollectSeconds;
}
