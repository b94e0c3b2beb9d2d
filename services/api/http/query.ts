/**
 * Query parameters of the HTTP+JSON binding (A2A section 11.5). An error for a value of the wrong type says
 * what is accepted. Unknown parameters of A2A's own operations are ignored (section 5.7), with a warning for those that look
 * like known ones. Routes of extensions refuse them.
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { warnClient } from '../handler/call-state.ts';
import { maxCompared, toWarning } from '../handler/validate/fields.ts';
import { findSimilar } from '#shared/domain/similar.ts';

export class Query {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #known = new Set<string>();

  constructor(values: unknown) {
    this.#values = typeof values === 'object' && values !== null ? { ...values } : {};
  }

  /** Returns the first of these names that is set: versions may name a parameter differently. */
  string(...names: [string, ...string[]]): string | undefined {
    for (const name of names) this.#known.add(name);
    const name = names.find((candidate) => this.#values[candidate] !== undefined) ?? names[0];
    const value = this.#values[name];
    if (value === undefined || typeof value === 'string') return value;
    throw new RequestMalformedError(`${name} was sent more than once: send it once`);
  }

  integer(...names: [string, ...string[]]): number | undefined {
    const value = this.string(...names);
    if (value === undefined) return undefined;
    if (/^-?\d{1,10}$/.test(value)) return Number(value);
    throw new RequestMalformedError(`${names[0]} must be a whole number, not "${value}"`);
  }

  boolean(name: string): boolean | undefined {
    const value = this.string(name);
    if (value === undefined || value === 'true' || value === 'false') return value && value === 'true';
    throw new RequestMalformedError(`${name} must be true or false, not "${value}"`);
  }

  oneOf(name: string, allowed: readonly string[]): string | undefined {
    const value = this.string(name);
    if (value === undefined || allowed.includes(value)) return value;
    throw new RequestMalformedError(`${name} must be one of ${allowed.join(', ')}, not "${value}"`);
  }

  /** @throws {RequestMalformedError} if a parameter is not one of these */
  checkKnown(known: readonly string[], route: string): void {
    const unknown = Object.keys(this.#values).find((name) => !known.includes(name));
    if (unknown === undefined) return;
    const has = known.length === 0 ? 'it has none' : `it has ${known.join(', ')}`;
    throw new RequestMalformedError(`"${unknown.slice(0, 40)}" is not a parameter of ${route}: ${has}`);
  }

  /** Warns about parameters that no method of this object was asked for, and that look like one that was. */
  warn(context: ServerCallContext): void {
    const known = [...this.#known];
    const unknown = Object.keys(this.#values).filter((name) => !this.#known.has(name));
    const warnings = unknown.slice(0, maxCompared).flatMap((name) => {
      const meant = findSimilar(name.replaceAll('_', ''), known);
      return meant === undefined ? [] : [toWarning(name, meant)];
    });
    if (warnings.length > 0) warnClient.get(context)?.(warnings);
  }
}
