/** What all benches share: percentiles, tables, ratios, and the addresses that `npm run bench` gives. */

/** Everything, in less than five minutes: smaller towns, and fewer turns. */
export const isQuick = process.argv.includes('--quick');

/** A figure of ours beside one that was measured in the same run. */
export interface Comparison {
  name: string;
  ratio: number;
  /** Null where the ratio is told for its own sake. */
  aim: number | null;
  aimIs: 'at least' | 'at most';
  /** How often both were measured; the ratio is the median. */
  runs: number;
}

export const isMet = ({ ratio, aim, aimIs }: Comparison): boolean => aim === null || (aimIs === 'at least' ? ratio >= aim : ratio <= aim);

/** The value below which that share of them is. */
export function percentile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);

  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

export const median = (values: number[]) => percentile(values, 0.5);

/** A table with a title over each column of figures. */
export function table(title: string, columns: string[], rows: [name: string, ...figures: (number | string)[]][], digits = 2): void {
  const line = (name: string, cells: (number | string)[]) =>
    `${name.padEnd(44)}${cells.map((cell) => (typeof cell === 'number' ? cell.toFixed(digits) : cell).padStart(14)).join('')}`;
  console.log(`\n${title}\n\n${line('', columns)}\n${rows.map(([name, ...figures]) => line(name, figures)).join('\n')}\n`);
}

export function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this with \`npm run bench\``);

  return value;
}
