/**
 * Reads typed values from environment variables. It collects every problem, so that all invalid values are
 * reported together, by name, with what is accepted.
 */
import { readFileSync } from 'node:fs';

export type Environment = Readonly<Record<string, string | undefined>>;

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`Invalid configuration:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

export class EnvReader {
  readonly #env: Environment;
  readonly #problems: string[] = [];

  constructor(env: Environment) {
    this.#env = env;
  }

  /** Returns the trimmed value; undefined if it is not set or empty. */
  optional(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  string(name: string, fallback?: string): string {
    const value = this.optional(name) ?? fallback;
    if (value === undefined) this.#problems.push(`${name} is not set`);
    return value ?? '';
  }

  /** A number within inclusive bounds; a whole number unless `whole` is false. */
  number(name: string, fallback: number, bounds: { min: number; max: number; whole?: boolean }): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    const whole = bounds.whole ?? true;
    if (
      !Number.isFinite(value) ||
      (whole && !Number.isInteger(value)) ||
      value < bounds.min ||
      value > bounds.max
    ) {
      const kind = whole ? 'a whole number' : 'a number';
      this.#problems.push(`${name} must be ${kind} from ${bounds.min} to ${bounds.max}, not "${text}"`);
      return fallback;
    }
    return value;
  }

  oneOf<const T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const found = choices.find((choice) => choice === text);
    if (found === undefined)
      this.#problems.push(`${name} must be one of ${choices.join(', ')}, not "${text}"`);
    return found ?? fallback;
  }

  flag(name: string, fallback: boolean): boolean {
    return (
      this.oneOf(name, ['true', 'false', '1', '0'], fallback ? 'true' : 'false').match(/true|1/) !== null
    );
  }

  /** An absolute http or https URL, without a trailing slash. */
  url(name: string, fallback?: string): string {
    const text = this.string(name, fallback);
    if (text === '') return text;
    if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
      this.#problems.push(`${name} must be an http or https URL, not "${text}"`);
    }
    return text.replace(/\/+$/, '');
  }

  /** Comma-separated; empty entries are dropped. */
  list(name: string): string[] {
    return (this.optional(name) ?? '')
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== '');
  }

  /** A value that may be mounted as a file: `NAME`, or the content of the file with the path `NAME_FILE`. */
  secret(name: string): string | undefined {
    const value = this.optional(name);
    const file = this.optional(`${name}_FILE`);
    if (value !== undefined && file !== undefined) {
      this.#problems.push(`${name} and ${name}_FILE are both set: remove one`);
    }
    if (value !== undefined || file === undefined) return value;
    try {
      const content = readFileSync(file, 'utf8').trim();
      if (content === '')
        this.#problems.push(`${name}_FILE must be the path of a file that is not empty, not "${file}"`);
      return content;
    } catch (error) {
      const { code = 'unknown error' } = error as NodeJS.ErrnoException;
      this.#problems.push(`${name}_FILE must be the path of a readable file, not "${file}" (${code})`);
      return '';
    }
  }

  problem(text: string): void {
    this.#problems.push(text);
  }

  /** @throws {ConfigError} listing every problem */
  check(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems);
  }
}
