/**
 * The sessions of ADK on the history of a context: each turn records what it has added, and a later turn starts with all of it.
 * Turns of the context that ADK has not run appear with their messages.
 */
import {
  createEvent,
  InMemorySessionService,
  type AppendEventRequest,
  type CreateSessionRequest,
  type Event,
  type Session,
} from '@google/adk';
import type { EarlierSteps, HistoryEntry, Turn } from '#services/worker/agent/agent.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { toJson, type SessionEntry, type SessionRecord } from './entries.ts';
import { toGeminiPart, type GeminiPart } from './parts.ts';

export const sessionStep = 'session';

/** Larger content of events is stored as a file. */
const maxInlineChars = 4096;
const defaultTurns = 100;

export class TurnSessions extends InMemorySessionService {
  readonly #userId: string;
  readonly #sessionId: string;
  /** The changes of this turn; undefined while earlier turns are restored. */
  #entries: ({ app: string; state: JsonObject } | { app: string; event: Event })[] | undefined;
  readonly #sessions = new Map<string, Session>();
  #states: Record<string, JsonObject> = {};

  constructor(userId: string, sessionId: string) {
    super();
    this.#userId = userId;
    this.#sessionId = sessionId;
  }

  override async createSession(request: CreateSessionRequest): Promise<Session> {
    const session = await super.createSession(request);
    this.#entries?.push({ app: request.appName, state: toJson(request.state ?? {}) as JsonObject });
    return session;
  }

  override async appendEvent(request: AppendEventRequest): Promise<Event> {
    const event = await super.appendEvent(request);
    if (event.partial !== true) this.#entries?.push({ app: request.session.appName, event });
    return event;
  }

  /** Starts with a session of an app as it was. Its events follow. */
  async restoreState(app: string, state: JsonObject): Promise<void> {
    const key = { appName: app, userId: this.#userId, sessionId: this.#sessionId };
    this.#sessions.set(app, await super.createSession({ ...key, state }));
  }

  async restoreEvent(app: string, event: Event): Promise<void> {
    const session = this.#sessions.get(app);
    if (session !== undefined) await super.appendEvent({ session, event });
  }

  hasSession(app: string): boolean {
    return this.#sessions.has(app);
  }

  /** Starts to collect the changes of this turn. */
  start(): void {
    this.#states = Object.fromEntries(
      [...this.#sessions].map(([app, { state }]) => [app, toJson({ ...state }) as JsonObject]),
    );
    this.#entries = [];
  }

  /** Returns the changes of this turn. */
  async toRecord(turn: Pick<Turn, 'storeFile'>): Promise<Pick<SessionRecord, 'states' | 'entries'>> {
    const entries: SessionEntry[] = [];
    for (const entry of this.#entries ?? []) {
      entries.push('event' in entry ? { app: entry.app, event: await pack(turn, entry.event) } : entry);
    }
    return { states: this.#states, entries };
  }
}

/** The turns of the context that count, newest last. */
export interface EarlierRecord {
  taskId: string;
  turn: number;
  record: SessionRecord | undefined;
}

export async function readRecords(turn: Turn): Promise<EarlierRecord[]> {
  const { history } = turn.definition as { history?: { maxTurns?: number } };
  const turns = await turn.readSteps([sessionStep], { maxTurns: history?.maxTurns ?? defaultTurns });
  return turns.map(toEarlierRecord).toReversed();
}

function toEarlierRecord({ taskId, turn, steps }: EarlierSteps): EarlierRecord {
  return { taskId, turn, record: steps.at(-1)?.result as SessionRecord | undefined };
}

/** Brings the sessions to where the last turn of the context has left them. */
export async function restoreSessions(
  turn: Turn,
  { sessions, app, records }: { sessions: TurnSessions; app: string; records: readonly EarlierRecord[] },
): Promise<void> {
  const others = records.some(({ record }) => record === undefined) ? (await turn.readHistory()).entries : [];
  const oldest = records.find(({ record }) => record !== undefined)?.record;
  for (const [name, state] of Object.entries(oldest?.states ?? {})) await sessions.restoreState(name, state);
  if (!sessions.hasSession(app)) await sessions.restoreState(app, {});
  for (const { taskId, turn: number, record } of records) {
    const said = others.filter((entry) => entry.taskId === taskId && entry.turn === number);
    if (record === undefined)
      for (const entry of said) await sessions.restoreEvent(app, await toEvent(turn, app, entry));
    for (const entry of record?.entries ?? []) {
      if ('event' in entry) await sessions.restoreEvent(entry.app, await unpack(turn, entry.event));
      else await sessions.restoreState(entry.app, entry.state);
    }
  }
  sessions.start();
}

async function toEvent(turn: Turn, app: string, { role, parts }: HistoryEntry): Promise<Event> {
  const content = { role: role === 'user' ? 'user' : 'model', parts: [] as GeminiPart[] };
  for (const part of parts) content.parts.push(await toGeminiPart(turn, part));
  return createEvent({ author: role === 'user' ? 'user' : app, content });
}

/** Moves large content out of an event. */
async function pack(turn: Pick<Turn, 'storeFile'>, event: Event): Promise<JsonObject> {
  const packed = toJson(event) as JsonObject;
  for (const part of getParts(packed)) {
    const { data, mimeType } = part.inlineData ?? {};
    if (data === undefined || data.length <= maxInlineChars) continue;
    const stored = await turn.storeFile({
      raw: data,
      ...(mimeType !== undefined && { mediaType: mimeType }),
    });
    if (stored.url !== undefined) part.inlineData = { ...part.inlineData, data: '', storedAt: stored.url };
  }
  return packed;
}

async function unpack(turn: Pick<Turn, 'readFile'>, packed: JsonObject): Promise<Event> {
  const event = structuredClone(packed);
  for (const part of getParts(event)) {
    const { storedAt, ...inline } = part.inlineData ?? {};
    if (storedAt === undefined) continue;
    const file = await turn.readFile(storedAt);
    if (file === undefined) part.text = '[A file that is no longer stored]';
    if (file === undefined) delete part.inlineData;
    else part.inlineData = { ...inline, data: file.content.toString('base64') };
  }
  return createEvent(event as Parameters<typeof createEvent>[0]);
}

type PackedPart = GeminiPart & { inlineData?: { data?: string; mimeType?: string; storedAt?: string } };

function getParts(event: JsonObject): PackedPart[] {
  const { parts } = (event['content'] ?? {}) as { parts?: Json };
  return Array.isArray(parts) ? (parts as unknown as PackedPart[]) : [];
}
