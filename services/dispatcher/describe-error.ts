/**
 * Describes why a receiver could not be called, in terms that its owner can act on. Owners choose the hosts that are
 * called, so the description shows no addresses: some may belong to this network.
 */
import { ForbiddenAddressError } from '#shared/net/guarded-agent.ts';
import { errorMessage } from '#shared/runtime/log.ts';

/** Problems of certificates and of the handshake, by the codes of Node and OpenSSL. */
const tlsProblems: readonly [RegExp, string][] = [
  [/^CERT_HAS_EXPIRED$/, 'the certificate of the receiver has expired'],
  [/^CERT_NOT_YET_VALID$/, 'the certificate of the receiver is not valid yet'],
  [/^DEPTH_ZERO_SELF_SIGNED_CERT$/, 'the certificate of the receiver is self-signed'],
  [
    /^(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(GET_ISSUER_CERT(_LOCALLY)?|VERIFY_LEAF_SIGNATURE))$/,
    'the certificate of the receiver comes from an unknown authority, or its intermediate certificates are missing',
  ],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, 'the certificate of the receiver is for another name'],
  [/^CERT_|_CERT(_|$)|^INVALID_PURPOSE$/, 'the certificate of the receiver is not valid'],
  [
    /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)$/,
    'the port of the receiver does not use TLS',
  ],
  [
    /^ERR_SSL_.*(PROTOCOL_VERSION|HANDSHAKE_FAILURE|UNSUPPORTED_PROTOCOL|NO_SHARED_CIPHER)$/,
    'the receiver accepts no TLS version or cipher of this client (TLS 1.2 and 1.3)',
  ],
  [/^ERR_SSL_.*CERTIFICATE_REQUIRED$/, 'the receiver requires a client certificate'],
  [/^(ERR_SSL_|ERR_TLS_|EPROTO$)/, 'the TLS handshake failed'],
];

const maxChars = 500;

/** @returns at most 500 characters, with the code of the error */
export function describeError(error: unknown): string {
  const cause = error instanceof AggregateError ? pickCause(error) : error;
  const { code, address, syscall } = cause as { code?: unknown; address?: unknown; syscall?: unknown };
  const message = errorMessage(cause);
  if (cause instanceof ForbiddenAddressError) return 'the host of the URL has an address that is not public';
  if (typeof code !== 'string') return cut(message);
  if (address !== undefined || syscall === 'connect') return `${code}: the receiver cannot be connected to`;
  if (code === 'ECONNRESET' && message.includes('TLS connection was established')) {
    return `TLS: the receiver closed the connection during the handshake (${code})`;
  }
  const [, problem] = tlsProblems.find(([pattern]) => pattern.test(code)) ?? [];
  if (problem !== undefined) return cut(`TLS: ${problem} (${code}: ${message})`);
  return cut(message.includes(code) ? message : `${code}: ${message}`);
}

/** A machine without IPv6 reports each of its addresses as unreachable, which says nothing about the receiver. */
function pickCause({ errors }: AggregateError): unknown {
  const codes = new Set<unknown>(['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT']);
  return errors.find((error) => !codes.has((error as { code?: unknown }).code)) ?? errors[0];
}

const cut = (text: string): string => (text.length > maxChars ? `${text.slice(0, maxChars - 1)}…` : text);
