/** Which hosts the webhooks of an owner may be sent to: all public hosts, unless the operator lists others. */
import { checkPublicUrl, isAmong, type PublicUrlCheck } from '../net/public-url.ts';
import type { WebhookGuardConfig } from '../runtime/config/webhook-guard.ts';

/** Checks the URL of a receiver without DNS. The problem is a sentence for the owner of the webhook. */
export function checkReceiver(
  text: string,
  owner: string,
  { allowHosts, ownHosts, destinations }: WebhookGuardConfig,
): PublicUrlCheck {
  const checked = checkPublicUrl(text, allowHosts, ownHosts);
  const allowed = destinations?.owners.get(owner) ?? destinations?.everyone;
  if ('problem' in checked || allowed === undefined) return checked;
  if (matches(checked.url.hostname, allowed)) return checked;
  return {
    problem: `Your webhooks may be sent only to ${allowed.join(', ') || 'no host'}, as the operator has set.`,
  };
}

/** `*.example.com` means all names below example.com, and not for itself. */
function matches(host: string, patterns: readonly string[]): boolean {
  const name = host.toLowerCase().replace(/\.$/, '');
  const suffixes = patterns.filter((pattern) => pattern.startsWith('*.'));
  return isAmong(host, patterns) || suffixes.some((pattern) => name.endsWith(pattern.slice(1).toLowerCase()));
}
