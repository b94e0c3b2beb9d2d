/** The Terraform module: its arguments are those of the table, and it creates each kind of resource by the shared names. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { listArguments, listConstants, readResources, readTable } from '../../tools/terraform/arguments.ts';
import { parseHcl } from '../../tools/terraform/hcl.ts';

describe('deploy/terraform', () => {
  test('sets only arguments that were found in the documentation of the provider', () => {
    const { heading, lines } = readTable();
    assert.match(heading, /after 7\.\d+\.\d+, commit [0-9a-f]{40} of \d{4}-\d\d-\d\d/);
    assert.deepEqual(
      lines,
      listArguments(readResources()),
      'run npm run terraform:arguments and check the difference',
    );
  });

  test('gives constants to arguments, which the check of the documentation compares', () => {
    const found = listConstants(readResources()).map(({ argument, value }) => `${argument} ${value}`);
    for (const expected of [
      'ingress INGRESS_TRAFFIC_INTERNAL_ONLY',
      'template.template.vpc_access.egress PRIVATE_RANGES_ONLY',
      'client_connection_config.ssl_config.ssl_mode ENCRYPTED_ONLY',
      'scaling.scaling_mode MANUAL',
    ])
      assert.ok(found.includes(expected), `${expected} is not among ${found.join(', ')}`);
  });

  test('creates every resource for the names or bindings of the inventory', () => {
    const others = [];
    for (const { kind, labels, attributes } of readResources()) {
      if (kind !== 'resource') continue;
      const source = attributes.get('for_each') ?? '';
      if (!/local\.names\["|local\.grants|google_compute_global_address\.all/.test(source))
        others.push(labels[0]);
    }
    assert.deepEqual(others, ['google_project_service']);
  });

  test('starts services, pool and job in their subnet, and only with images', () => {
    const runs = readResources().filter(({ blocks }) => blocks.some(({ type }) => type === 'template'));
    assert.equal(runs.length, 3);
    for (const { attributes, blocks } of runs) {
      assert.match(attributes.get('depends_on') ?? '', /google_compute_subnetwork\.all/);
      const [lifecycle] = blocks.filter(({ type }) => type === 'lifecycle');
      const [precondition] = lifecycle!.blocks.filter(({ type }) => type === 'precondition');
      assert.match(precondition?.attributes.get('condition') ?? '', /container\.image != ""/);
    }
  });
});

describe('parseHcl', () => {
  test('reads blocks in blocks, and skips expressions with brackets and strings', () => {
    const text = `a "b" "c" {
      # { not a block
      list = [
        "}", "\${x["}"]}",
      ]
      inner { key = 1 }
      after = { k = "v" }
    }`;
    const [block] = parseHcl(text);
    assert.deepEqual([block?.type, block?.labels], ['a', ['b', 'c']]);
    assert.deepEqual([...block!.attributes.keys()], ['list', 'after']);
    assert.deepEqual(
      block!.blocks.map(({ type, attributes }) => [type, [...attributes.keys()]]),
      [['inner', ['key']]],
    );
  });

  test('refuses text that it cannot read', () => {
    assert.throws(() => parseHcl('a {'), /not closed/);
    assert.throws(() => parseHcl('a = "b'), /not closed/);
    assert.throws(() => parseHcl('= 1'), /line 1: expected/);
  });
});
