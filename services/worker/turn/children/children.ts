/**
 * The child tasks of a turn: `spawn` starts them and records them in one statement, `join` waits for them without a
 * worker.
 *
 *   join ──▶ have enough ended? ──yes──▶ their results are recorded
 *              ▲         │ no: the group notes how many are needed
 *              │         ▼
 *              └── suspended (waits.ts) ◀── the end of the last child that is needed, or the timeout
 */
import type { ChildRow } from '#shared/db/children/join.ts';
import type { Spawn } from '#shared/db/children/spawn.ts';
import type { NewStep, NewWait } from '#shared/db/turns/write.ts';
import { maxChildDepth, maxChildrenPerTurn } from '#shared/domain/children.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { isUuid, uuidv7 } from '#shared/domain/ids.ts';
import type { Part } from '#shared/domain/message.ts';
import { isTerminal } from '#shared/domain/task.ts';
import { noUsage, sumUsage, totalTokens, type Usage } from '#shared/domain/usage.ts';
import type { ChildTasks, JoinedChild, JoinOptions, JoinResult, SpawnOptions } from '../../agent/agent.ts';
import type { ReachedStep, StepIdentity } from '../record.ts';
import { assertSeconds, awaitable, type OpenWait, type Waits } from '../waits.ts';
import { checkMessages, createChildTask, type Parent } from './tasks.ts';

const defaultJoinSeconds = 7 * 86_400;
/** A join that times out so soon is over. */
const soonSeconds = 0.01;
/** How often a parent with a limit looks at the usage of its children while it waits for them. */
const checkSeconds = 60;
/** The most content of children that one join returns, in bytes of JSON. */
const maxJoinBytes = 4 * 1024 * 1024;

export interface ChildParts {
  parent: Parent;
  /** Limits of the whole task. */
  limits: { tokens?: number; cost?: number };
  waits: Waits;
  /** Enters the next step of this name. */
  reach: (name: string) => ReachedStep;
  /** Returns the usage of the whole task so far. */
  usage: () => Usage | undefined;
  readDepth: () => Promise<number>;
  /** @throws if the owner has no room for as many tasks and bytes */
  checkRoom: (call: string, tasks: number, bytes: number) => Promise<void>;
  /** Stores children, and shows them to clients. */
  store: (spawn: Omit<Spawn, 'lease'>) => Promise<void>;
  awaitChildren: (group: string, needed: number) => Promise<{ ended: number; isOver: boolean } | undefined>;
  readChildren: (group: string, taskIds: readonly string[], maxBytes: number) => Promise<ChildRow[]>;
  /** Returns the usage so far of the children of a group, without those that are counted. */
  readUsage: (group: string, counted: readonly string[]) => Promise<readonly Usage[]>;
  /** Stores when an open wait is due next. */
  postpone: (step: NewStep) => Promise<void>;
  /** Records a join, and adds the usage of its children to the task. */
  record: (step: NewStep, result: JoinResult, used: readonly Usage[]) => Promise<void>;
}

export class Children {
  readonly #parts: ChildParts;
  /** Started in this turn. */
  #started = 0;
  /** Children whose usage the turn has counted. */
  readonly #counted = new Set<string>();

  constructor(parts: ChildParts) {
    this.#parts = parts;
  }

  async spawn(
    name: string,
    messages: readonly (Part[] | string)[],
    { context = 'own' }: SpawnOptions = {},
  ): Promise<ChildTasks> {
    const call = `spawn("${name}")`;
    checkMessages(call, messages);
    if (context !== 'own' && context !== 'parent') {
      throw new FatalError(`${call}: context is "${String(context)}": use "own" or "parent".`);
    }
    const { identity, earlier } = this.#parts.reach(name);
    this.#started += messages.length;
    if (this.#started > maxChildrenPerTurn) {
      throw new FatalError(
        `${call}: the turn would have ${this.#started} children: it can start at most ${maxChildrenPerTurn}.`,
      );
    }
    if (earlier?.finished === true) return earlier.output as ChildTasks;
    this.#checkSpent(call);
    return this.#parts.waits.run(() => this.#start(call, identity, messages, context));
  }

  async #start(
    call: string,
    { name, occurrence, position }: StepIdentity,
    messages: readonly (Part[] | string)[],
    context: 'own' | 'parent',
  ): Promise<ChildTasks> {
    const { parent, readDepth, checkRoom, store } = this.#parts;
    const depth = (await readDepth()) + 1;
    if (depth > maxChildDepth) {
      throw new FatalError(
        `${call}: this task is a child of generation ${depth - 1}: only ${maxChildDepth} generations are allowed.`,
      );
    }
    const tasks = messages.map((content) => createChildTask(parent, content, context));
    await checkRoom(
      call,
      tasks.length,
      tasks.reduce((sum, task) => sum + task.bytes, 0),
    );
    const children: ChildTasks = { group: uuidv7(), taskIds: tasks.map(({ taskId }) => taskId) };
    const step = { name, occurrence, position, output: JSON.stringify(children) };
    await store({ group: children.group, depth, tasks, step });
    return children;
  }

  /** @param more usage that the task has not counted yet */
  #checkSpent(call: string, more: readonly Usage[] = []): void {
    const { tokens = Infinity, cost = Infinity } = this.#parts.limits;
    const spent = more.reduce(sumUsage, this.#parts.usage() ?? noUsage);
    const reached =
      totalTokens(spent.tokens) >= tokens
        ? `${tokens} tokens`
        : spent.cost >= cost
          ? `a cost of ${cost}`
          : '';
    const who = more.length === 0 ? 'the task has' : 'the task and its children have';
    const whose = more.length === 0 ? 'its' : 'the';
    if (reached !== '') throw new FatalError(`${call}: ${who} reached ${whose} limit of ${reached}.`);
  }

  /** @throws {FatalError} if an option is not valid, or the record of the turn has another step here */
  join(
    name: string,
    children: ChildTasks,
    { need = 'all', timeoutSeconds = defaultJoinSeconds }: JoinOptions = {},
  ): PromiseLike<JoinResult> {
    const call = `join("${name}")`;
    const { group, taskIds } = checkChildren(call, children);
    const needed = need === 'all' ? taskIds.length : need === 'any' ? 1 : need;
    if (!Number.isInteger(needed) || needed < 0 || needed > taskIds.length) {
      throw new FatalError(
        `${call}: need is ${String(need)}: use "all", "any", or a number up to ${taskIds.length}, which were started.`,
      );
    }
    assertSeconds(`${call}: timeoutSeconds`, timeoutSeconds, 0);
    const reached = this.#parts.waits.reach(name, 'children');
    if (reached.earlier?.finished === true) {
      const result = reached.earlier.output as JoinResult;
      for (const { taskId, state } of result.children) if (isTerminal(state)) this.#counted.add(taskId);
      return awaitable(async () => result);
    }
    const wait: NewWait = {
      wait: { kind: 'children', group, needed },
      dueInSeconds: timeoutSeconds,
      token: null,
    };
    return awaitable(() => this.#join(call, reached, wait, { group, taskIds, needed }));
  }

  async #join(
    call: string,
    { identity, earlier }: ReachedStep,
    wait: NewWait,
    { group, taskIds, needed }: ChildTasks & { needed: number },
  ): Promise<JoinResult> {
    const { waits, awaitChildren, postpone } = this.#parts;
    const timeoutSeconds = wait.dueInSeconds;
    const dueIn = (leftSeconds: number): NewWait => ({ ...wait, dueInSeconds: this.#limitWait(leftSeconds) });
    let open: OpenWait | undefined;
    for (;;) {
      const found = await waits.run(() => awaitChildren(group, needed));
      if (found === undefined) throw new FatalError(`${call}: this task has started no such children.`);
      const leftSeconds = open === undefined ? timeoutSeconds : getLeftSeconds(open);
      if (found.isOver || leftSeconds <= soonSeconds) {
        const status = found.isOver ? 'joined' : 'timed_out';
        return waits.run(() => this.#finish({ ...identity, output: null, wait }, status, { group, taskIds }));
      }
      const details = { ended: found.ended, needed, size: taskIds.length };
      await this.#checkChildren(call, group);
      if (open === undefined) {
        open = await waits.open(identity, earlier, dueIn(leftSeconds), { details, timeoutSeconds });
      } else {
        const due = dueIn(leftSeconds);
        await waits.run(() => postpone({ ...identity, output: null, wait: due }));
        waits.reopen(open, due.dueInSeconds * 1000);
      }
      await waits.untilDue(open);
    }
  }

  get #isLimited(): boolean {
    const { tokens, cost } = this.#parts.limits;
    return tokens !== undefined || cost !== undefined;
  }

  #limitWait(seconds: number): number {
    return this.#isLimited ? Math.min(seconds, checkSeconds) : seconds;
  }

  /** @throws {FatalError} if the task and the children that it waits for have reached its limit */
  async #checkChildren(call: string, group: string): Promise<void> {
    if (!this.#isLimited) return;
    const { waits, readUsage } = this.#parts;
    this.#checkSpent(call, await waits.run(() => readUsage(group, [...this.#counted])));
  }

  async #finish(
    step: NewStep,
    status: JoinResult['status'],
    { group, taskIds }: ChildTasks,
  ): Promise<JoinResult> {
    const rows = await this.#parts.readChildren(group, taskIds, maxJoinBytes);
    const children = rows.map(({ taskId, state, message, artifacts, complete }): JoinedChild => {
      return { taskId, state, message: message?.parts ?? [], artifacts: artifacts ?? [], complete };
    });
    const ended = rows.filter(({ taskId, state }) => isTerminal(state) && !this.#counted.has(taskId));
    for (const { taskId } of ended) this.#counted.add(taskId);
    const result: JoinResult = { status, children };
    const used = ended.flatMap(({ usage }) => (usage === null ? [] : [usage]));
    await this.#parts.record(step, result, used);
    return result;
  }
}

/** The time until a join times out. */
function getLeftSeconds({ endsAt, dueAt }: OpenWait): number {
  return ((endsAt ?? dueAt) - performance.now()) / 1000;
}

function checkChildren(call: string, children: unknown): ChildTasks {
  const { group, taskIds } = (children ?? {}) as Partial<ChildTasks>;
  if (typeof group === 'string' && isUuid(group) && Array.isArray(taskIds)) {
    return { group, taskIds: taskIds as string[] };
  }
  throw new FatalError(`${call}: children must be the result of spawn.`);
}
