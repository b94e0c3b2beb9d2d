/** The uses of each client under test. The agent behind the service runs scripts: see test/support/agents/scripted.ts. */

export interface Rig {
  /** Address of the service. */
  url: string;
  /** The folder with the packages of the pinned list. */
  folder: string;
  /** Imports a package of the pinned list. */
  // oxlint-disable-next-line typescript/no-explicit-any -- the packages are not installed when this is type-checked
  load: (name: string) => any;
}

/** Runs one use of a client. Throws if the client does not work as its documentation says. */
export type Check = (rig: Rig) => Promise<void>;

export interface InteropClient {
  /** The binding that it chooses from the card. */
  binding: string;
  checks: Record<string, Check>;
}
