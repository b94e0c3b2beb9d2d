/**
 * Thrown by the Gemini agent's tools when credentials are missing or refused. The task waits in auth-required
 * with this message, and continues with the next message from its user.
 */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
}
