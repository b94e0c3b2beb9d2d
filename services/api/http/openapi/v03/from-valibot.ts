/** Schemas of requests of A2A 0.3, from those that check them. */
import type { GenericSchema } from 'valibot';
import {
  anyObject,
  anyValue,
  flag,
  integer,
  list,
  object,
  oneOf,
  optional,
  text,
  type Schema,
} from '../schema.ts';

/** The fields of a schema of valibot that are read. */
interface Node {
  kind: string;
  type: string;
  pipe?: readonly Node[];
  entries?: Readonly<Record<string, Node>>;
  wrapped?: Node;
  item?: Node;
  options?: readonly unknown[];
  requirement?: unknown;
}

/** @throws {Error} if the schema has a part that no request of A2A 0.3 has yet */
export function fromValibot(schema: GenericSchema): Schema {
  return convert(schema);
}

function convert(node: Node): Schema {
  const { pipe, type } = node;
  if (pipe !== undefined) return convertPipe(pipe);
  switch (type) {
    case 'object':
      return convertFields(node.entries ?? {});
    // The only custom schema is that of an object.
    case 'custom':
      return anyObject;
    case 'array':
      return list(convert(node.item ?? node));
    case 'string':
      return text;
    case 'number':
      return integer;
    case 'boolean':
      return flag;
    case 'unknown':
      return anyValue;
    case 'picklist':
      return oneOf((node.options ?? []).filter((option) => typeof option === 'string'));
    case 'union':
      return { anyOf: (node.options as readonly Node[]).map(convert) };
    default:
      throw new Error(`a schema of type ${type} has no form in the OpenAPI document`);
  }
}

/** The last schema before a transformation describes the input. */
function convertPipe(pipe: readonly Node[]): Schema {
  const end = pipe.findIndex(({ kind }) => kind === 'transformation');
  const read = end === -1 ? pipe : pipe.slice(0, end);
  const last = read.findLast(({ kind }) => kind === 'schema');
  if (last === undefined) throw new Error('a pipe starts with a schema');
  const least = read.find(({ type }) => type === 'min_length')?.requirement;
  return { ...convert(last), ...(typeof least === 'number' && { minLength: least }) };
}

function convertFields(entries: Readonly<Record<string, Node>>): Schema {
  return object(
    Object.fromEntries(
      Object.entries(entries).map(([name, node]) => [
        name,
        node.type === 'optional' && node.wrapped !== undefined
          ? optional(convert(node.wrapped))
          : convert(node),
      ]),
    ),
  );
}
