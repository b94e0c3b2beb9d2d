/** Which tools of which server the model is shown, and under which names. */

/** Whether a name is allowed by patterns in which `*` stands for anything. `deny` counts more. */
export function isAllowed(
  name: string,
  { allow, deny = [] }: { allow?: readonly string[]; deny?: readonly string[] },
): boolean {
  return (allow === undefined || matches(name, allow)) && !matches(name, deny);
}

export function matches(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const literal = pattern.split('*').map((piece) => piece.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${literal.join('.*')}$`).test(name);
  });
}

/** Gemini takes names of up to 64 characters. */
const longestName = 64;

/**
 * The names under which the model sees tools, in their order. One that two servers have, or that is taken, gets its
 * server's name before it wherever it occurs, so that the name of a tool does not depend on the order of the servers.
 */
export function declaredNames(
  tools: readonly { server: string; name: string }[],
  taken: ReadonlySet<string>,
): string[] {
  const plain = tools.map(({ name }) => clean(name));
  const used = new Set(taken);
  return tools.map(({ server }, index) => {
    const name = plain[index] ?? '';
    const collides = taken.has(name) || plain.some((other, at) => at !== index && other === name);
    const base = collides ? `${server}_${name}` : name;
    let unique = base.slice(0, longestName);
    for (let count = 2; used.has(unique); count += 1) {
      unique = `${base.slice(0, longestName - 4)}_${count}`;
    }
    used.add(unique);
    return unique;
  });
}

function clean(name: string): string {
  const letters = name.replaceAll(/[^\w.-]/g, '_');
  return /^[A-Za-z_]/.test(letters) ? letters : `_${letters}`;
}
