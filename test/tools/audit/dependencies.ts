/** Known vulnerabilities of the production dependencies, as the lock file has them. */
import { spawnSync } from 'node:child_process';
import { projectDir, unavailable } from './project.ts';

interface Finding {
  name: string;
  severity: string;
  range: string;
  /** Advisories, and names of vulnerable dependencies. */
  via: (string | { title: string; url: string })[];
}

/** Refuses those that are high or critical. The registry may give no report, which says nothing about the dependencies. */
export function auditDependencies(): number {
  const audit = spawnSync('npm', ['audit', '--package-lock-only', '--omit=dev', '--json'], {
    cwd: projectDir,
    encoding: 'utf8',
  });
  const findings = readFindings(audit.stdout);
  if (findings === undefined) {
    console.error(
      `The registry gave no report, so nothing is known about the dependencies:\n${audit.stdout}${audit.stderr}`,
    );
    return unavailable;
  }
  for (const { name, severity, range, via } of findings) {
    const reasons = via.map((cause) =>
      typeof cause === 'string' ? `through ${cause}` : `${cause.title} ${cause.url}`,
    );
    console.log(`${severity}: ${name} ${range}: ${reasons.join('; ')}`);
  }
  const refused = findings.filter(({ severity }) => severity === 'high' || severity === 'critical');
  console.log(`${findings.length} vulnerable packages, ${refused.length} of them high or critical`);
  return refused.length > 0 ? 1 : 0;
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
