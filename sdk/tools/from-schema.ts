/**
 * The type of the values that a JSON Schema describes, for `type`, `properties`, `required`, `items`, `enum`, `const`,
 * `anyOf` and `oneOf`. Other keywords do not narrow the type. Other schemas are any JSON.
 */
import type { Json } from '#shared/domain/message.ts';

export type FromSchema<Schema> = Schema extends { readonly const: infer Value }
  ? Value
  : Schema extends { readonly enum: readonly (infer Value)[] }
    ? Value
    : Schema extends
          | { readonly anyOf: readonly (infer Either)[] }
          | { readonly oneOf: readonly (infer Either)[] }
      ? FromSchema<Either>
      : Schema extends { readonly type: readonly (infer Type)[] }
        ? OfType<Schema, Type>
        : Schema extends { readonly type: infer Type }
          ? OfType<Schema, Type>
          : Json;

/** Distributes over a union of types. */
type OfType<Schema, Type> = Type extends 'string'
  ? string
  : Type extends 'number' | 'integer'
    ? number
    : Type extends 'boolean'
      ? boolean
      : Type extends 'null'
        ? null
        : Type extends 'array'
          ? Schema extends { readonly items: infer Items }
            ? FromSchema<Items>[]
            : Json[]
          : Type extends 'object'
            ? ObjectOf<Schema>
            : Json;

type ObjectOf<Schema> = Schema extends { readonly properties: infer Properties }
  ? Schema extends { readonly required: readonly (infer Required)[] }
    ? {
        -readonly [Key in keyof Properties as Key extends Required ? Key : never]: FromSchema<
          Properties[Key]
        >;
      } & {
        -readonly [Key in keyof Properties as Key extends Required ? never : Key]?: FromSchema<
          Properties[Key]
        >;
      }
    : { -readonly [Key in keyof Properties]?: FromSchema<Properties[Key]> }
  : { [key: string]: Json };
