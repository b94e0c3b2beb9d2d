/** The package.json of the published package, from that of the repository. */
export interface Manifest {
  name: string;
  version: string;
  description: string;
  license: string;
  engines: Record<string, string>;
  bin: Record<string, string>;
  exports: Record<string, string>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  /** The frameworks, which authors install if they use an adapter. */
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional: boolean }>;
}

export interface PublishedManifest extends Omit<Manifest, 'exports'> {
  type: 'module';
  exports: Record<string, string | { types: string; default: string }>;
  imports: Record<string, string>;
}

/** Leaves out what only the repository needs: scripts, tools, and `private`, which keeps the sources unpublished. */
export function createManifest(source: Manifest): PublishedManifest {
  const { name, version, description, license, engines } = source;
  const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = source;
  const bin = Object.entries(source.bin).map(([command, file]) => [command, file.replace(/\.ts$/, '.js')]);
  const exported = Object.entries(source.exports)
    .filter(([, file]) => file.endsWith('.ts'))
    .map(([subpath, file]) => [
      subpath,
      { types: file.replace(/\.ts$/, '.d.ts'), default: file.replace(/\.ts$/, '.js') },
    ]);
  return {
    name,
    version,
    description,
    license,
    type: 'module',
    engines,
    bin: Object.fromEntries(bin),
    exports: { ...Object.fromEntries(exported), './package.json': './package.json' },
    // The files that the program starts, by the names that they have in the repository.
    imports: { '#services/*.ts': './services/*.js', '#deploy/*': './deploy/*' },
    dependencies,
    optionalDependencies,
    peerDependencies,
    peerDependenciesMeta,
  };
}
