/** Headers of webhooks that both sides of a delivery read. */

/** The task of a webhook. Each webhook has it. */
export const taskIdHeader = 'longhaul-task-id';
