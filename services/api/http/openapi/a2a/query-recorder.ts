/** Finds out which parameters of the query a route reads. */
import { Query } from '../../query.ts';
import { flag, integer, oneOf, text, type Schema } from '../schema.ts';

/** Has no values, and keeps the schema of each parameter that it is asked for. Former names are left out. */
export class QueryRecorder extends Query {
  readonly parameters: Record<string, Schema> = {};

  constructor() {
    super({});
  }

  override string(...[name]: [string, ...string[]]): undefined {
    this.parameters[name] = text;
  }

  override integer(...[name]: [string, ...string[]]): undefined {
    this.parameters[name] = { ...integer, format: 'int32' };
  }

  override boolean(name: string): undefined {
    this.parameters[name] = flag;
  }

  override oneOf(name: string, allowed: readonly string[]): undefined {
    this.parameters[name] = oneOf(allowed);
  }
}
