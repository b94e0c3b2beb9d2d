/** The columns of webhook configs that hold encrypted secrets. */

/** Columns, and the column name that each was encrypted with (see shared/webhooks/secrets.ts). */
export const secretColumns = {
  token: 'token',
  auth_credentials: 'auth_credentials',
  signing_secret: 'signing_secret',
  previous_secret: 'signing_secret',
} as const;

export const secretNames = Object.keys(secretColumns) as (keyof typeof secretColumns)[];

export type SecretRow = { task_id: string; id: string } & Record<keyof typeof secretColumns, string | null>;
