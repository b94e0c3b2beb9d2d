/** The state that passes from turn to turn of a task. */
import type { Content } from '@google/genai';
import type { Usage } from '#shared/domain/usage.ts';
import type { ModelResponse } from '../model/response.ts';
import type { PendingReply } from './pending-calls.ts';

export interface Conversation {
  contents: Content[];
  /** The last reply of the model, if some of its calls wait for the user. */
  pending?: PendingReply;
  /** The plan of an agent that plans together with its user: shown to the user, or confirmed. */
  plan?: 'proposed' | 'confirmed';
  /** The parts of a reply that is not complete yet; see interactions/hops.ts. */
  unfinished?: ModelResponse;
  /** The usage of the task so far. */
  spent: Usage;
  /** Identifies what it has from other tasks of the context. Undefined if some of that was left out. */
  base?: number;
  /** The environment in which a managed agent has worked for this task. */
  environment?: string;
  /** The last reply, if Google has stored it: a call that continues it sends only what follows. */
  stored?: StoredReply;
}

export interface StoredReply {
  /** The id of the interaction. */
  id: string;
  /** The last content of the request, and its number of parts then. The reply follows it. */
  content: Content;
  parts: number;
}
