/** Validates an agent card as received: the fields that A2A 1.0 (section 4.4.1) or 0.3 (section 5.5) requires. */
import * as v from 'valibot';
import type { FetchedCard } from './card.ts';

const text = v.pipe(v.string('must be text'), v.minLength(1, 'must not be empty'));
const endpoint = v.pipe(
  v.string('must be text'),
  v.check((value) => URL.canParse(value), 'must be an absolute URL'),
  v.check(
    (value) => !value.startsWith('http:') || /^http:\/\/(localhost|127\.|\[::1\])/.test(value),
    'must use https, except on this machine',
  ),
);
const mediaTypes = v.array(
  v.pipe(v.string('must be text'), v.includes('/', 'must be a media type')),
  'must be a list',
);
const flag = v.optional(v.boolean('must be true or false'));
const skill = v.object({
  id: text,
  name: text,
  description: text,
  tags: v.array(v.string('must be text'), 'must be a list'),
});
const schemes = v.optional(
  v.record(v.string(), v.looseObject({}, 'must be an object'), 'must be an object'),
  {},
);
const common = {
  name: text,
  description: text,
  version: text,
  capabilities: v.looseObject({ streaming: flag, pushNotifications: flag }, 'must be an object'),
  defaultInputModes: mediaTypes,
  defaultOutputModes: mediaTypes,
  skills: v.pipe(v.array(skill, 'must be a list'), v.minLength(1, 'must not be empty')),
  securitySchemes: schemes,
};
const current = v.object({
  ...common,
  supportedInterfaces: v.pipe(
    v.array(
      // The endpoint of gRPC is a host and a port.
      v.object({
        url: text,
        protocolBinding: text,
        protocolVersion: v.pipe(text, v.regex(/^\d+\.\d+$/, 'must be a version such as 1.0')),
      }),
      'must be a list',
    ),
    v.minLength(1, 'must not be empty'),
  ),
});
const legacy = v.object({ ...common, url: endpoint, protocolVersion: text });

/** Returns each problem with its field, in the order of the fields; none: the card is valid. */
export function findCardProblems({ raw, card, version }: FetchedCard): string[] {
  const { issues = [] } = v.safeParse(version === '1.0' ? current : legacy, raw);
  const problems = issues.map((issue) => {
    const message = issue.received === 'undefined' ? 'is missing' : issue.message;
    return `${v.getDotPath(issue) ?? 'the card'} ${message}`;
  });
  for (const [index, { protocolBinding, url }] of card.supportedInterfaces.entries()) {
    const parsed = v.safeParse(endpoint, url);
    if (version === '0.3' || /grpc/i.test(protocolBinding) || parsed.success) continue;
    problems.push(`supportedInterfaces.${index}.url ${parsed.issues[0].message}`);
  }
  const known = Object.keys(card.securitySchemes ?? {});
  for (const requirement of card.securityRequirements ?? []) {
    for (const name of Object.keys(requirement.schemes)) {
      if (!known.includes(name))
        problems.push(`securityRequirements names ${name}, which securitySchemes lacks`);
    }
  }
  return problems;
}
