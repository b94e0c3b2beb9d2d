/** How soon a model of Google answers, and at which price (ai.google.dev/gemini-api/docs/flex-inference, April 2026). */

/**
 * `flex` costs less and may take minutes; `priority` costs more and is answered first; `deferred` is for the Interactions API
 * (types of @google/genai 3.1). `batch` is not a tier of Google: the calls of many tasks go to its Batch API together.
 */
export const serviceTiers = ['flex', 'standard', 'priority', 'deferred', 'batch'] as const;
export type ServiceTier = (typeof serviceTiers)[number];

/** The key in the metadata of a `SendMessage` under which a task asks for a tier (docs/extensions/service-tier.md). */
export const serviceTierExtension = 'https://longhaul.dev/ext/service-tier/v1';
