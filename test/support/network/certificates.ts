/** Certificates for TLS servers, made by openssl. */
// cspell:ignore pkeyopt paramgen addext Acreateserial
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Cleanup } from '../cleanup.ts';
import { createTempDir } from '../temp-dir.ts';

/** A PEM certificate and its key. */
export interface Certificate {
  key: string;
  cert: string;
}

export function hasOpenSsl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** @returns an authority, and a function that issues a certificate for a host name: expired, if `days` is -1 */
export function createAuthority(t: Cleanup): {
  authority: Certificate;
  issue: (name: string, days: number) => Certificate;
} {
  const cwd = createTempDir(t);
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  const read = (name: string): Certificate => ({
    key: readFileSync(path.join(cwd, `${name}.key`), 'utf8'),
    cert: readFileSync(path.join(cwd, `${name}.crt`), 'utf8'),
  });
  const createKey = (name: string): string[] => {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    return ['req', ...curve, '-keyout', `${name}.key`, '-subj', `/CN=${name}`];
  };
  let issued = 0;
  openssl(...createKey('ca'), '-x509', '-days', '2', '-out', 'ca.crt');
  return {
    authority: read('ca'),
    issue: (name, days) => {
      const file = `leaf-${++issued}`;
      openssl(...createKey(file), '-addext', `subjectAltName=DNS:${name}`, '-out', `${file}.csr`);
      const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copy'];
      openssl('x509', '-req', '-in', `${file}.csr`, ...sign, '-days', String(days), '-out', `${file}.crt`);
      return read(file);
    },
  };
}
