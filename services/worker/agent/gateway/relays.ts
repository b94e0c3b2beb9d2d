/** The part of a turn that gateways need. For the agent of `a2a`, not for agents in code. */
import type { CallResult } from '../agent.ts';

export interface Relays {
  /**
   * Passes the message of the turn to the agent behind the gateway, and shows its task as that of the turn. The result has
   * no artifacts: they are those of our task.
   *
   * @throws {FatalError} if the definition has no `a2a`
   * @throws {CredentialsError} if the agent refuses the credentials, or a secret is not set
   */
  relay(): Promise<CallResult>;
}

/** Turns of workers can relay; other implementations of a turn cannot. */
export function canRelay<T extends object>(turn: T): turn is T & Relays {
  return 'relay' in turn;
}
