/**
 * Refuses requests that would exceed a limit of their owner, and counts what is stored for owners.
 *
 *   check ──▶ refused (429)
 *     └─────▶ reserved ──▶ stored | released
 *
 * Each process has a view of the usage of the owners that it serves, mostly less than two seconds old. Owners
 * with so many open tasks that counting them takes long are read less often. The check and the reservation are
 * one synchronous step, so requests in this process never exceed a limit together. Requests in several processes
 * may exceed it by what the others have reserved since the last read: an exact limit would need a row that every
 * message of an owner locks.
 */
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import type { UsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import type { ReadOwnerUsage } from '#shared/db/owners/usage.ts';
import type { OwnerLimits } from '#shared/domain/owner-limits.ts';
import { OwnerUsageView, type Amounts } from './owner-usage-view.ts';
import { refuse, type Exceeded } from './quota-error.ts';

/** After this age a view is read again in the background. A request waits for one that is twice as old. */
const refreshAfterMs = 1_000;
/** No request is refused because of a view that is older. */
const maxRefusalAgeMs = 250;
const maxViews = 10_000;

/** The needs of a request. */
export interface Wanted extends Partial<Amounts> {
  /** The request starts a turn, which may call a model. */
  turn?: boolean;
}

export interface OwnerQuotas {
  /**
   * Stores something if the owner has room for it, and counts it if `isStored` holds for the result.
   *
   * @throws {QuotaExceededError} if there is no room; `run` is then not called
   */
  store<T>(
    owner: string,
    wanted: Wanted,
    store: { run: () => Promise<T>; isStored: (result: T) => boolean },
  ): Promise<T>;
  /** Counts a removal. */
  free(owner: string, amounts: Partial<Amounts>): void;
}

export function createOwnerQuotas(parts: {
  getLimits: GetOwnerLimits;
  readUsage: ReadOwnerUsage;
  recorder: UsageRecorder;
}): OwnerQuotas {
  const { getLimits, readUsage, recorder } = parts;
  const views = new Map<string, OwnerUsageView>();

  function getView(owner: string): OwnerUsageView {
    const known = views.get(owner);
    if (known !== undefined) return known;
    if (views.size >= maxViews) for (const [name, view] of views) if (view.idle) views.delete(name);
    const created = new OwnerUsageView({
      read: async () => {
        const { openTasks } = await getLimits(owner);
        return readUsage({ owner, maxOpenTasks: openTasks === 0 ? 0 : openTasks + 1 });
      },
      getPending: () => {
        const { bytes, webhookConfigs } = recorder.getPending(owner);
        return { storedBytes: bytes, webhookConfigs };
      },
      getVersion: () => recorder.version,
      settled: () => recorder.settled(),
    });
    views.set(owner, created);
    return created;
  }

  async function reserve(
    owner: string,
    view: OwnerUsageView,
    limits: OwnerLimits,
    wanted: Wanted,
    amounts: Amounts,
  ): Promise<void> {
    const { age, minAge } = view;
    const refreshAfter = Math.max(refreshAfterMs, minAge);
    if (age > 2 * refreshAfter) await view.refresh();
    else if (age > refreshAfter) view.refresh().catch(() => undefined);
    let exceeded = reserveIfRoom(view, limits, wanted, amounts);
    if (exceeded !== undefined && view.age > Math.max(maxRefusalAgeMs, minAge)) {
      await view.refresh();
      exceeded = reserveIfRoom(view, limits, wanted, amounts);
    }
    if (exceeded === undefined) return;
    throw refuse(owner, exceeded);
  }

  return {
    store: async (owner, wanted, { run, isStored }) => {
      const limits = await getLimits(owner);
      const { openTasks = 0, storedBytes = 0, webhookConfigs = 0 } = wanted;
      const amounts = { openTasks, storedBytes, webhookConfigs };
      const view = hasChecks(limits) ? getView(owner) : undefined;
      if (view !== undefined && !reserveNow(view, limits, wanted, amounts)) {
        await reserve(owner, view, limits, wanted, amounts);
      }
      let stored = false;
      try {
        const result = await run();
        stored = isStored(result);
        return result;
      } finally {
        view?.settle(amounts, stored);
        if (stored) recorder.add(owner, { bytes: storedBytes, webhookConfigs });
      }
    },
    free: (owner, { openTasks = 0, storedBytes = 0, webhookConfigs = 0 }) => {
      views.get(owner)?.change({ openTasks, storedBytes, webhookConfigs }, -1);
      recorder.add(owner, { bytes: -storedBytes, webhookConfigs: -webhookConfigs });
    },
  };
}

const amountLimits = ['openTasks', 'storedBytes', 'webhookConfigs'] as const;

function hasChecks({ openTasks, storedBytes, webhookConfigs, modelCostPerDay }: OwnerLimits): boolean {
  return openTasks + storedBytes + webhookConfigs + modelCostPerDay > 0;
}

/** Reserves if a view is fresh and there is room, as for nearly all requests: further promises would live until the commit. */
function reserveNow(view: OwnerUsageView, limits: OwnerLimits, wanted: Wanted, amounts: Amounts): boolean {
  return view.age <= refreshAfterMs && reserveIfRoom(view, limits, wanted, amounts) === undefined;
}

/** One synchronous step, so that no other request comes between the check and the reservation. */
function reserveIfRoom(
  view: OwnerUsageView,
  limits: OwnerLimits,
  wanted: Wanted,
  amounts: Amounts,
): Exceeded | undefined {
  for (const limit of amountLimits) {
    const max = limits[limit];
    if (max === 0 || amounts[limit] === 0) continue;
    const used = view.getUsed(limit);
    if (used + amounts[limit] > max) return { limit, used, max, wanted: amounts[limit] };
  }
  const max = limits.modelCostPerDay;
  if (max > 0 && wanted.turn === true) {
    const used = view.getUsed('modelCostPerDay');
    if (used >= max) return { limit: 'modelCostPerDay', used, max, wanted: 0 };
  }
  view.reserve(amounts);
  return undefined;
}
