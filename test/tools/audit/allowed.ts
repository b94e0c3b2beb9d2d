/** Texts that only look like secrets. An entry that no longer allows anything is refused by `npm run audit`. */

export interface Allowed {
  /** The path of one file. */
  file: string;
  /** The name that secretlint gives to the kind of secret. */
  kind: string;
  why: string;
}

export const allowed: readonly Allowed[] = [
  {
    file: 'test/support/webhooks/hostile-urls.ts',
    kind: 'BasicAuth',
    why: 'a URL with a password that the guard must refuse',
  },
  {
    file: 'test/unit/database-config.test.ts',
    kind: 'MySQLConnection',
    why: 'an address of another database that the configuration must refuse',
  },
];
