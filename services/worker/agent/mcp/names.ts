/** Selects the tools of a server that the model may see, and names them. */

/** Whether the patterns allow a name. `*` matches anything. `deny` takes precedence over `allow`. */
export function isAllowed(
  name: string,
  { allow, deny = [] }: { allow?: readonly string[]; deny?: readonly string[] },
): boolean {
  return (allow === undefined || matchesAny(name, allow)) && !matchesAny(name, deny);
}

export function matchesAny(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const literal = pattern.split('*').map((piece) => piece.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${literal.join('.*')}$`).test(name);
  });
}

/** Gemini's limit for the name of a function. */
const maxNameChars = 64;

/**
 * Returns the names under which the model sees tools, in their order. A name that two servers share, or that
 * is taken, is prefixed with its server's name everywhere, so that names do not depend on the order of the
 * servers.
 *
 * @param taken names of other tools
 */
export function toDeclaredNames(
  tools: readonly { server: string; name: string }[],
  taken: ReadonlySet<string>,
): string[] {
  const names = tools.map(({ name }) => sanitize(name));
  const used = new Set(taken);
  return tools.map(({ server }, index) => {
    const name = names[index] ?? '';
    const collides = taken.has(name) || names.some((other, at) => at !== index && other === name);
    const base = collides ? `${server}_${name}` : name;
    let unique = base.slice(0, maxNameChars);
    for (let count = 2; used.has(unique); count += 1) {
      unique = `${base.slice(0, maxNameChars - 4)}_${count}`;
    }
    used.add(unique);
    return unique;
  });
}

function sanitize(name: string): string {
  const allowed = name.replaceAll(/[^\w.-]/g, '_');
  return /^[A-Za-z_]/.test(allowed) ? allowed : `_${allowed}`;
}
