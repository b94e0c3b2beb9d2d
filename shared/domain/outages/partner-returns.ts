/**
 * Remembers work that waits because a partner was away, so that it does not wait for minutes or hours once the partner
 * is back. Pure.
 *
 *   failed ─▶ remembered ──the partner answers other work──▶ brought forward: tried once more, now
 *                 ▲                                              │ fails again
 *                 └── for the next time, but not within 15 s, 30 s, 60 s … of the last
 *
 * Each answer brings forward ten others, so that the load of a partner that has just returned grows step by step. Work
 * that fails for a reason of its own is tried rarely, because the distance doubles.
 */

const forwardedAtOnce = 10;
/** Bounds the search for work that may be tried again. */
const maxExamined = 50;
const firstDistanceMs = 15_000;
const maxItems = 1_000;
/** Beyond this number, the oldest are forgotten. */
const maxPartners = 1_000;

interface Remembered<Item> {
  item: Item;
  forwards: number;
  /** When it may be brought forward again. */
  from: number;
}

interface Partner<Item> {
  waiting: Map<string, Remembered<Item>>;
  answeredAt: number;
}

export class PartnerReturns<Item> {
  readonly #partners = new Map<string, Partner<Item>>();
  readonly #now: () => number;

  /** @param now a monotonic clock in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Remembers an item that failed. At most a thousand for each of a thousand partners.
   *
   * @param key identifies the item
   * @param startedAt when it was tried
   * @returns true if it should be tried again now: the partner has returned meanwhile, but this try did not reach it
   */
  failed(name: string, key: string, item: Item, startedAt: number): boolean {
    const partner = this.#partners.get(name) ?? { waiting: new Map<string, never>(), answeredAt: -Infinity };
    this.#partners.set(name, partner);
    dropOldest(this.#partners, maxPartners);
    const remembered = partner.waiting.get(key) ?? { item, forwards: 0, from: -Infinity };
    partner.waiting.set(key, remembered);
    dropOldest(partner.waiting, maxItems);
    if (partner.answeredAt <= startedAt || remembered.from > this.#now()) return false;
    this.#forward(partner, key, remembered);
    return true;
  }

  /** Forgets an item. */
  ended(name: string, key: string): void {
    this.#partners.get(name)?.waiting.delete(key);
  }

  /** Returns the items to try again now, because the partner has answered another one. */
  answered(name: string): Item[] {
    const partner = this.#partners.get(name);
    if (partner === undefined) return [];
    partner.answeredAt = this.#now();
    const items: Item[] = [];
    let examined = 0;
    for (const [key, remembered] of partner.waiting) {
      examined += 1;
      if (examined > maxExamined || items.length === forwardedAtOnce) break;
      if (remembered.from <= this.#now()) items.push(this.#forward(partner, key, remembered));
    }
    return items;
  }

  /** Moves the item to the end, behind those that have waited longer. */
  #forward({ waiting }: Partner<Item>, key: string, remembered: Remembered<Item>): Item {
    remembered.from = this.#now() + firstDistanceMs * 2 ** remembered.forwards;
    remembered.forwards += 1;
    waiting.delete(key);
    waiting.set(key, remembered);
    return remembered.item;
  }
}

function dropOldest(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}
