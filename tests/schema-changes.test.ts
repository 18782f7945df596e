/** The check that compares the schema with the contract of the last release finds what would break a client. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const baselineFile = join(root, 'docs/schema-baseline.graphql');
const baseline = readFileSync(baselineFile, 'utf8');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cheeper-schema-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Compares the baseline with itself, changed in this one place. */
function compare(from: string, to: string) {
  expect(baseline.split(from)).toHaveLength(2);
  const file = join(folder, 'schema.graphql');
  writeFileSync(file, baseline.replace(from, to));
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'tests/compare-schema.mjs'), baselineFile, file], {
    encoding: 'utf8',
  });

  return { status, stderr };
}

describe('a change of the schema', () => {
  it.each([
    ['takes a field away', '  repliesCount: Int!\n', '', 'Cheep.repliesCount'],
    ['gives a field another type', 'postedAt: DateTime!', 'postedAt: String!', 'Cheep.postedAt'],
    ['lets a field be null', 'signedUpAt: DateTime!', 'signedUpAt: DateTime', 'Author.signedUpAt'],
    ['takes an enum’s value away', '  FOLLOWED_SOMEBODY\n', '', 'FunnelStepName.FOLLOWED_SOMEBODY'],
    ['asks for more input', '  inReplyTo: ID\n', '  inReplyTo: ID!\n', 'PostCheepInput.inReplyTo'],
    ['takes a member of a union away', 'union Reply = Cheep | DeletedCheep', 'union Reply = Cheep', 'Reply'],
    ['takes an interface away', 'type Author implements Node {', 'type Author {', 'Author'],
  ])('fails when it %s', (_, from, to, path) => {
    expect(compare(from, to)).toEqual({ status: 1, stderr: expect.stringContaining(`  ${path}: `) });
  });

  it('passes when it adds and deprecates', () => {
    const to = '  repliesCount: Int! @deprecated(reason: "Ask for `replies`.")\n  brandNew(of: Int): Int\n';
    expect(compare('  repliesCount: Int!\n', to)).toEqual({ status: 0, stderr: '' });
  });
});
