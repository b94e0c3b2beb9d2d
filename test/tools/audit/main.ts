/**
 * `npm run audit`: reports known vulnerabilities of the production dependencies, as the lock file has them. Exits with 0
 * if none is high or critical, with 1 if one is, and with 69 (EX_UNAVAILABLE) if the registry gave no report, which says
 * nothing about the dependencies.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface Finding {
  name: string;
  severity: string;
  range: string;
  /** Advisories, and names of vulnerable dependencies. */
  via: (string | { title: string; url: string })[];
}

const audit = spawnSync('npm', ['audit', '--package-lock-only', '--omit=dev', '--json'], {
  cwd: fileURLToPath(new URL('../../../', import.meta.url)),
  encoding: 'utf8',
});
const findings = readFindings(audit.stdout);
if (findings === undefined) {
  console.error(
    `The registry gave no report, so nothing is known about the dependencies:\n${audit.stdout}${audit.stderr}`,
  );
  process.exitCode = 69;
} else {
  for (const { name, severity, range, via } of findings) {
    const reasons = via.map((cause) =>
      typeof cause === 'string' ? `through ${cause}` : `${cause.title} ${cause.url}`,
    );
    console.log(`${severity}: ${name} ${range}: ${reasons.join('; ')}`);
  }
  const refused = findings.filter(({ severity }) => severity === 'high' || severity === 'critical');
  console.log(`${findings.length} vulnerable packages, ${refused.length} of them high or critical`);
  process.exitCode = refused.length > 0 ? 1 : 0;
}

/** Returns undefined if the output is not a report. */
function readFindings(output: string | null): Finding[] | undefined {
  try {
    const report = JSON.parse(output ?? '') as { vulnerabilities?: Record<string, Finding> };
    return report.vulnerabilities && Object.values(report.vulnerabilities);
  } catch {
    return undefined;
  }
}
