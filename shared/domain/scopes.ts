/** The routes that need the scope `operator` (docs/extensions/operator.md). */
export const operatorExtension = 'https://longhaul.dev/ext/operator/v1';

/** Scopes limit a credential to parts of the API. */
export const allScopes = ['read', 'send', 'operator'] as const;

/**
 *   read       the caller's own tasks, files, webhooks, schedules and usage
 *   send       messages, and everything else that changes what the caller owns
 *   operator   what belongs to others: the operations of those who run the service. It contains no other scope
 */
export type Scope = (typeof allScopes)[number];

/** The scopes of callers whose credential names none. */
export const ownScopes: ReadonlySet<Scope> = new Set(['read', 'send']);
