/**
 * One partner in trouble: load ▸ fault ▸ the partner returns ▸ wait until all tasks have ended and all webhooks are
 * delivered. Each waiting task must say for what it waits, and none may fail.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { callJsonRpc, postJsonRpc } from '../../../support/clients/json-rpc.ts';
import { waitFor } from '../../../support/wait-for.ts';
import type { ProxyFault } from './fault-proxy.ts';
import { partners, type Partner, type TroubleSystem } from './system.ts';

export type Fault = ProxyFault | 'read-only';

export const stages = ['accepted', 'ended', 'delivered'] as const;

type Stage = (typeof stages)[number];

export interface Trouble {
  partner: Partner;
  fault: Fault;
}

export interface TroubleResult extends Trouble {
  accepted: number;
  /** Status messages of failed tasks. */
  failed: string[];
  /** Tasks that had waited for a partner of the agent when it returned, and those whose status said so. */
  waiting: number;
  saying: number;
  /** From the return of the partner until all messages were accepted, all tasks ended, and all webhooks delivered. */
  recoveryMs: Record<Stage, number>;
  /** Rows that were still open when the recovery should have ended, up to ten, as JSON. */
  late: string[];
  passed: boolean;
}

/** The goal for the recovery. */
const recoveryBoundMs = 30_000;
/** Waits are not reported in the first 20 s, because most failures pass earlier. */
const silentWaitMs = 25_000;
const giveUpMs = 150_000;

/** Partners whose silence tasks report. The others are needed to run a task at all, or to report. */
const reported: readonly Partner[] = ['model', 'mcp-server', 'file-server'];

export const allTroubles: readonly Trouble[] = partners.flatMap((partner) => {
  const faults: Fault[] =
    partner === 'database' ? ['silent', 'read-only', 'slow', 'away'] : ['silent', 'errors', 'slow', 'away'];
  return faults.map((fault) => ({ partner, fault }));
});

export async function runTrouble(
  system: TroubleSystem,
  { partner, fault }: Trouble,
  options: { faultMs: number; tasksPerSecond: number },
): Promise<TroubleResult> {
  const tasks: { id: string; at: number }[] = [];
  const stopping = new AbortController();
  const sending = new Set<Promise<void>>();
  const load = (async () => {
    while (!stopping.signal.aborted) {
      const sent = submit(system).then((id) => {
        tasks.push({ id, at: Date.now() });
        sending.delete(sent);
      });
      sending.add(sent);
      await sleep(1000 / options.tasksPerSecond);
    }
  })();
  // Services load parts of their code with the first task.
  const hasEnded = async (): Promise<boolean> => {
    const [first] = tasks;
    return first !== undefined && /COMPLETED|FAILED/.test((await readTask(system, first.id)).status.state);
  };
  await waitFor('the first task to end', hasEnded, { boundMs: 300_000, everyMs: 100 });
  await sleep(2_000);
  await setFault(system, partner, fault);
  await sleep(options.faultMs);
  stopping.abort();
  await load;
  const said = reported.includes(partner) ? await readWaiting(system, tasks) : [];
  await setFault(system, partner, undefined);
  const returnedAt = Date.now();
  const getMs = (): number => Date.now() - returnedAt;
  await Promise.all(sending);
  const acceptedMs = getMs();
  const late: string[] = [];
  const waitForNone = createWait(system, returnedAt, late);
  const recoveryMs = {
    accepted: acceptedMs,
    ended: await waitForNone('gates where state_class = 0').then(getMs),
    delivered: await waitForNone(`deliveries where state = 'pending'`).then(getMs),
  };
  const failed: string[] = [];
  for (const { id } of tasks) {
    const { status } = await readTask(system, id);
    if (status.state !== 'TASK_STATE_COMPLETED') failed.push(`${id} ${status.state}: ${getText(status)}`);
  }
  const saying = said.filter((text) => /^Waiting .*since 20/.test(text)).length;
  return {
    partner,
    fault,
    accepted: tasks.length,
    failed,
    waiting: said.length,
    saying,
    recoveryMs,
    late,
    passed:
      tasks.length > 0 &&
      failed.length === 0 &&
      saying === said.length &&
      recoveryMs.delivered <= recoveryBoundMs,
  };
}

/** Returns a function that waits until there are no such rows, and notes in `late` those that take too long. */
function createWait({ pool }: TroubleSystem, returnedAt: number, late: string[]) {
  return async (rows: string): Promise<void> => {
    const deadline = Date.now() + giveUpMs;
    while (Date.now() < deadline) {
      const { rowCount } = await pool.query(`select 1 from ${rows} limit 1`);
      if (rowCount === 0) return;
      if (late.length === 0 && Date.now() > returnedAt + recoveryBoundMs) {
        const open = await pool.query<{ row: object }>(
          `select now(), to_json(t.*) as row from ${rows.replace(' where', ' t where')} limit 10`,
        );
        late.push(...open.rows.map((row) => JSON.stringify(row)));
      }
      await sleep(100);
    }
  };
}

async function setFault(
  { proxies, pool }: TroubleSystem,
  partner: Partner,
  fault: Fault | undefined,
): Promise<void> {
  if (partner === 'database' && (fault === 'read-only' || fault === undefined)) {
    await pool.query(
      `alter system set default_transaction_read_only = ${fault === undefined ? 'off' : 'on'}`,
    );
    await pool.query('select pg_reload_conf()');
  }
  proxies[partner].set(fault === 'read-only' ? undefined : fault);
}

/** Sends a message, under the same id until it is accepted. @returns the id of its task */
async function submit({ apiUrl, fileUrl, receiverUrl }: TroubleSystem): Promise<string> {
  const params = {
    message: {
      messageId: randomUUID(),
      role: 'ROLE_USER',
      parts: [{ text: 'go' }, { url: fileUrl, mediaType: 'text/plain', filename: 'file.txt' }],
    },
    configuration: { returnImmediately: true, taskPushNotificationConfig: { url: receiverUrl } },
  };
  for (;;) {
    try {
      const response = await postJsonRpc(apiUrl, 'SendMessage', params, {
        signal: AbortSignal.timeout(30_000),
      });
      const { result } = (await response.json()) as { result?: { task: { id: string } } };
      if (result !== undefined) return result.task.id;
    } catch {
      // No answer.
    }
    await sleep(1_000);
  }
}

interface Status {
  state: string;
  message?: { parts: { text?: string }[] };
}

async function readTask({ apiUrl }: TroubleSystem, id: string): Promise<{ status: Status }> {
  const { result } = await callJsonRpc(apiUrl, 'GetTask', { id });
  return result as { status: Status };
}

const getText = ({ message }: Status): string => message?.parts.map(({ text }) => text).join('') ?? '';

/** Returns the status messages of the tasks that have not ended for a while. */
async function readWaiting(
  system: TroubleSystem,
  tasks: readonly { id: string; at: number }[],
): Promise<string[]> {
  const texts: string[] = [];
  for (const { id } of tasks.filter(({ at }) => at < Date.now() - silentWaitMs).slice(0, 50)) {
    const { status } = await readTask(system, id);
    if (!/COMPLETED|FAILED/.test(status.state)) texts.push(getText(status));
  }
  return texts;
}
