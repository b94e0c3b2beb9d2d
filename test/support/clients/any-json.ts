/** JSON of which a test reads single fields, as a client without types would. */
// oxlint-disable-next-line typescript/no-explicit-any -- see above
export type AnyJson = any;
