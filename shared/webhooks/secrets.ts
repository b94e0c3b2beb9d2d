/** The secrets of a webhook config, as a caller gives them and as they are stored. */
import type { Sealer } from '../db/seal.ts';

export interface WebhookSecrets {
  token: string | null;
  authCredentials: string | null;
}

export function sealSecrets<T extends WebhookSecrets & { id: string }>(
  sealer: Sealer,
  taskId: string,
  config: T,
): T {
  return convert(taskId, config, (value, place) => sealer.seal(value, place));
}

/** @throws {SealError} where one of them cannot be opened */
export function openSecrets<T extends WebhookSecrets & { id: string }>(
  sealer: Sealer,
  taskId: string,
  config: T,
): T {
  return convert(taskId, config, (value, place) => sealer.open(value, place));
}

function convert<T extends WebhookSecrets & { id: string }>(
  taskId: string,
  config: T,
  by: Sealer['seal'],
): T {
  const one = (value: string | null, column: string) =>
    value === null ? null : by(value, { taskId, configId: config.id, column });
  return {
    ...config,
    token: one(config.token, 'token'),
    authCredentials: one(config.authCredentials, 'auth_credentials'),
  };
}
