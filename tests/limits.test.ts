/** docs/limits.md says what the code does: each figure is compared with its constant, and none is missing. */
import { describe, expect, it } from '@jest/globals';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** What an operator runs by hand has its own, in its help. */
const TOOLS = /\/(verify|differences|findings)\.ts$/;
const MILLISECONDS = { ms: 1, s: 1_000 };
const BYTES = { KiB: 1024, MiB: 1024 * 1024 };

interface Row {
  what: string;
  figure: string;
  file: string;
  name: string;
}

const rows: Row[] = [...read('docs/limits.md').matchAll(/^\| (.+?) +\| ([\d.,]+(?: \w+)?) +\| `([\w/.-]+\.ts)` `([A-Z_]+)` *\|/gm)].map(
  ([, what, figure, file, name]) => ({ what: what!, figure: figure!, file: file!, name: name! }),
);

/** Of each table the heading above it, and its lines as cells: the head first, then the rows. */
function tables(): { heading: string; lines: string[][] }[] {
  const sections = read('docs/limits.md').split(/^## /m);

  return sections.flatMap((section) =>
    [...section.matchAll(/(?:^\|.*\n)+/gm)].map(([table]) => ({
      heading: /.*/.exec(section)![0],
      lines: table
        .trimEnd()
        .split('\n')
        .filter((line) => !/^\|[ |:-]+\|$/.test(line))
        .map((line) => line.split(/(?<!\\)\|/).slice(1, -1)),
    })),
  );
}

/** The value of `const NAME = 64 * 1024;`, or of the one number in an object. */
function valueOf(file: string, name: string): number {
  const text = new RegExp(`const ${name} = ([^;]+);`).exec(read(file))?.[1] ?? 'nothing';
  const expression = text.replaceAll('_', '').replace(/^\{ \w+: (\d+) \}$/, '$1');
  if (!/^[\d *.+-]+$/.test(expression)) throw new Error(`${file} has no ${name} that is a number, but ${text}`);

  return expression.split('*').reduce((product, factor) => product * Number(factor), 1);
}

/** In milliseconds, bytes or pieces, as its constant is. */
function parse(figure: string, name: string): number {
  const [number, unit] = figure.replaceAll(',', '').split(' ');
  const scale = unit === undefined ? 1 : ({ ...MILLISECONDS, ...BYTES } as Record<string, number>)[unit]!;

  return (Number(number) * scale) / (name.endsWith('_SECONDS') ? 1_000 : 1);
}

describe('docs/limits.md', () => {
  it('has the figures of the code', () => {
    expect(rows.length).toBeGreaterThan(60);
    const differ = rows.filter(({ file, name, figure }) => valueOf(file, name) !== parse(figure, name));
    expect(differ.map((row) => ({ ...row, inCode: valueOf(row.file, row.name) }))).toEqual([]);
  });

  it('has rows in each table, with as many cells as its head', () => {
    expect(tables().length).toBeGreaterThan(9);
    expect(tables().filter(({ lines }) => lines.length < 2)).toEqual([]);
    const ragged = tables().flatMap(({ heading, lines: [head, ...its] }) =>
      its.filter((row) => row.length !== head!.length).map((row) => ({ heading, row })),
    );
    expect(ragged).toEqual([]);
  });

  it('leaves out none of the bounds', () => {
    const files = globSync('{gateway,write-side,read-side,shared,client}/**/*.ts', { cwd: root }).filter(
      (file) => !file.endsWith('.test.ts') && !TOOLS.test(file),
    );
    const bounds = files.flatMap((file) =>
      [...read(file).matchAll(/^(?:export )?const ((?:MOST|MAX)_\w+) = \d/gm)].map(([, name]) => `${file} ${name}`),
    );
    const told = new Set(rows.map(({ file, name }) => `${file} ${name}`));
    expect(bounds.length).toBeGreaterThan(40);
    expect(bounds.filter((bound) => !told.has(bound))).toEqual([]);
  });
});
