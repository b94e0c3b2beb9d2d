/**
 * List prices in US dollars, each with its date, its source, and what a check found: deploy/capacity/prices.json is the only place
 * for them. They give the order of magnitude: check them before you rely on them.
 */
import { readFileSync } from 'node:fs';

export interface Price {
  value: number;
  unit: string;
  /** When it was entered: YYYY-MM-DD. */
  date: string;
  source: string;
  /** Compares the price with a stored copy of the provider's page. */
  checked: {
    date: string;
    confirmed: 'yes' | 'part' | 'no';
    /** Undefined: there was no copy. */
    page?: string;
    found: string;
  };
}

export type PriceName =
  | 'instance'
  | 'databaseCpu'
  | 'gibibyteStored'
  | 'millionCloudTasks'
  | 'millionPubSubMessages'
  | 'millionSpans'
  | 'gibibyteOfLogs'
  | 'inputTokens'
  | 'outputTokens';

export const priceList = (
  JSON.parse(readFileSync(new URL('prices.json', import.meta.url), 'utf8')) as {
    prices: Record<PriceName, Price>;
  }
).prices;

export const prices = Object.fromEntries(
  Object.entries(priceList).map(([name, { value }]) => [name, value]),
) as Record<PriceName, number>;
