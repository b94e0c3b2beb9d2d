/** Child tasks: tasks that a turn starts for the owner of its task (docs/develop/waits.md). */

/**
 * The key in the metadata of a parent under which its children are listed, and in that of a child under which its
 * parent is named.
 */
export const childrenExtension = 'https://longhaul.dev/ext/children/v1';

/** The children of a task have depth 1, their children depth 2. */
export const maxChildDepth = 5;

/** The most children that one turn may start. */
export const maxChildrenPerTurn = 10_000;

/** The most that the messages of one call of `spawn` may contain, in bytes of JSON. */
export const maxSpawnBytes = 8 * 1024 * 1024;

/** The most ids that a metadata object or a message lists. */
export const maxListedChildren = 1_000;
