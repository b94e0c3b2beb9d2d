/** The services of refunds.ts. Real ones would be called over HTTP, and would do nothing twice for one key. */
export const calls: { name: string; key: string }[] = [];

export async function readOrder(id: string, signal: AbortSignal): Promise<{ id: string; price: number }> {
  signal.throwIfAborted();
  return { id, price: 40 };
}

export async function sendMail(text: string, idempotencyKey: string): Promise<void> {
  calls.push({ name: `mail: ${text}`, key: idempotencyKey });
}

export async function pay(price: number, idempotencyKey: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  calls.push({ name: `pay: ${price}`, key: idempotencyKey });
}
