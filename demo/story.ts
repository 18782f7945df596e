/** What the demo tells, and whether it was true: each line is printed as it is checked, with a tick or a cross. */
import { inspect, isDeepStrictEqual, styleText } from 'node:util';
import { ConfigError } from '../shared/config.js';

type Style = Parameters<typeof styleText>[0];

const styled = (style: Style, text: string) => styleText(style, text, { stream: process.stdout });
const show = (value: unknown) => inspect(value, { depth: 5, breakLength: Infinity });

export class Story {
  /** Lines that did not hold, as they were printed. */
  private readonly failures: string[] = [];
  private checked = 0;
  /** What was said last that was not wrong. */
  private last = 'the start';

  chapter(title: string, ...prose: string[]): void {
    this.last = title;
    print('', styled('bold', title), ...prose.map((line) => `  ${line}`), '');
  }

  /** A line that claims nothing. */
  tell(...lines: string[]): void {
    print(...lines.map((line) => `    ${line}`));
  }

  check(line: string, actual: unknown, expected: unknown): void {
    if (!isDeepStrictEqual(actual, expected)) return this.fail(`${line}: expected ${show(expected)}, got ${show(actual)}`);
    this.checked += 1;
    this.last = line.trim();
    print(`  ${styled('green', '✓')} ${line}`);
  }

  fail(line: string): void {
    this.failures.push(line.trim());
    print(`  ${styled('red', '✗')} ${line}`);
  }

  /** Something went wrong that is no line's own fault. */
  breakOff(error: unknown): void {
    if (!(error instanceof ConfigError)) print('', inspect(error));
    this.fail(`it could not go on after “${this.last}”: ${error instanceof Error ? error.message : String(error)}`);
  }

  /** @returns whether all of it held */
  end(ms: number): boolean {
    if (this.failures.length === 0) {
      print('', styled('bold', `All ${this.checked} lines held, in ${(ms / 1_000).toFixed(1)} s.`));
      return true;
    }
    print('', styled('bold', `${this.failures.length} did not hold, and ${this.checked} did:`));
    print(...this.failures.map((line) => `  ${styled('red', '✗')} ${line}`));

    return false;
  }
}

export interface Column {
  title: string;
  counts: Map<string, number>;
}

/** Columns of counts, with what was added since they were last shown. */
export function sideBySide(columns: Column[], before: Column[]): string[] {
  const blocks = columns.map(({ title, counts }, i) => block(title, counts, before[i]?.counts));
  const height = Math.max(...blocks.map((lines) => lines.length));

  return Array.from({ length: height }, (_, row) => {
    const line = blocks.map((lines) => lines[row] ?? ' '.repeat(lines[0]!.length)).join('  │  ');
    return styled(row === 0 ? 'underline' : 'dim', line.trimEnd());
  });
}

/** Lines of one width: the title, then name, count and change. */
function block(title: string, counts: Map<string, number>, before: Map<string, number> | undefined): string[] {
  const rows = [...counts].map(([name, count]) => ({
    name,
    count: String(count),
    change: before ? change(count - (before.get(name) ?? 0)) : '',
  }));
  const width = Math.max(title.length, ...rows.map(({ name }) => name.length));

  return [
    title.padEnd(width + 11),
    ...rows.map(({ name, count, change }) => `${name.padEnd(width)}${count.padStart(6)}${change.padStart(5)}`),
  ];
}

const change = (n: number) => (n > 0 ? `+${n}` : n < 0 ? String(n) : '');

function print(...lines: string[]): void {
  process.stdout.write(`${lines.map((line) => line.trimEnd()).join('\n')}\n`);
}
