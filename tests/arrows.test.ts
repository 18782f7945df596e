/** The check of the arrows between rooms can fail: a planted import against the arrow is found, one along it is not. */
import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** What dependency-cruiser says of a tree of files, under the project's own rules. */
function cruise(files: Record<string, string>): { status: number | null; output: string } {
  const folder = mkdtempSync(join(tmpdir(), 'cheeper-arrows-'));
  try {
    for (const [name, text] of Object.entries({ 'tsconfig.json': '{}', 'package.json': '{"type":"module"}', ...files })) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    const rooms = [...new Set(Object.keys(files).map((name) => name.split('/')[0]!))];
    const program = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
    const config = join(root, '.dependency-cruiser.mjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, '--config', config, ...rooms], {
      cwd: folder,
      encoding: 'utf8',
    });

    return { status, output: stdout + stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('the arrows', () => {
  it.each([
    ['write-side-knows-only-shared', 'write-side/a.ts', 'read-side/b.ts'],
    ['read-side-knows-only-shared', 'read-side/a.ts', 'write-side/b.ts'],
    ['shared-knows-nobody', 'shared/a.ts', 'gateway/b.ts'],
    ['gateway-reads-by-query', 'gateway/a.ts', 'read-side/timelines/projection.ts'],
    ['gateway-reads-by-query', 'gateway/cheeps/a.ts', 'write-side/b.ts'],
    ['write-side-knows-only-shared', 'write-side/a.ts', 'cli/b.ts'],
    ['cli-knows-the-sides', 'cli/a.ts', 'gateway/b.ts'],
    ['client-knows-nobody', 'client/a.ts', 'shared/b.ts'],
    ['queries-do-not-write', 'read-side/timelines/query.ts', 'read-side/apply.ts'],
  ])('%s: %s may not import %s', (rule, from, to) => {
    const up = '../'.repeat(from.split('/').length - 1);
    const { status, output } = cruise({ [from]: `export * from '${up}${to.replace('.ts', '.js')}';`, [to]: 'export const x = 1;' });
    expect(output).toContain(rule);
    expect(status).not.toBe(0);
  });

  it.each([
    ['gateway/a.ts', 'read-side/timelines/query.ts'],
    ['gateway/a.ts', 'shared/b.ts'],
    ['write-side/a.ts', 'shared/b.ts'],
    ['cli/a.ts', 'write-side/b.ts'],
  ])('%s may import %s', (from, to) => {
    const { status, output } = cruise({ [from]: `export * from '../${to.replace('.ts', '.js')}';`, [to]: 'export const x = 1;' });
    expect(output).toContain('no dependency violations');
    expect(status).toBe(0);
  });
});
