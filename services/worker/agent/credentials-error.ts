/**
 * Something that the agent uses wants credentials that it does not have. The task waits in auth-required with this
 * message, and goes on with the next message to it.
 */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
}
