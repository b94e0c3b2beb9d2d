/** The owners and the addresses of their servers. */
export const goodOwner = 'good';

/** @param row of attacks.ts */
export function getHostileOwner(row: number): string {
  return `hostile-${row}`;
}

/** The API key of an owner. */
export function getKey(owner: string): string {
  return `key-of-${owner}`;
}

/**
 * Loopback addresses of the servers of hostile owners. The receiver of the measured owner has another one, because a
 * limit may count by host.
 */
export const hangingHost = '127.0.0.2';
export const receiverHost = '127.0.0.3';
export const fileHost = '127.0.0.4';
