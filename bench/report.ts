/** What was measured, for those who were not there: `latest.json` for programs, a table and a chart for people. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMet, isQuick, type Comparison } from './figures.js';

type Reported = Comparison & { bench: string; quick: boolean };

const FOLDER = join(import.meta.dirname, 'results');
const LATEST = join(FOLDER, 'latest.json');

/** Puts a bench's comparisons in the place of its earlier ones. */
export function report(bench: string, comparisons: Comparison[]): void {
  for (const { name, ratio, aim, aimIs, runs } of comparisons) {
    const goal = aim === null ? '' : ` (aim: ${aimIs} ${aim}${isMet({ name, ratio, aim, aimIs, runs }) ? '' : ', not met'})`;
    console.log(`  ${ratio.toFixed(2)}  ${name}${goal}`);
  }
  mkdirSync(FOLDER, { recursive: true });
  const others = earlier().filter((one) => one.bench !== bench);
  const all = [...others, ...comparisons.map((one) => ({ ...one, bench, quick: isQuick, ratio: Number(one.ratio.toPrecision(3)) }))];
  writeFileSync(LATEST, `${JSON.stringify(all, null, 2)}\n`);
  writeFileSync(join(FOLDER, 'report.md'), table(all));
  writeFileSync(join(FOLDER, 'ratios.svg'), chart(all));
}

function earlier(): Reported[] {
  try {
    return JSON.parse(readFileSync(LATEST, 'utf8')) as Reported[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

const table = (all: Reported[]): string =>
  [
    '# Measured',
    '',
    'Ratios of one run each, on one machine, by `npm run bench`: ours to what was measured beside it. See [the benches](../README.md).',
    '',
    '![ratios, as shares of their aims](ratios.svg)',
    '',
    '| what | ratio | aim | runs |',
    '| --- | ---: | --- | ---: |',
    ...all.map((one) => {
      const aim = one.aim === null ? '' : `${one.aimIs} ${one.aim}${isMet(one) ? '' : ' (not met)'}`;
      return `| ${one.name} | ${one.ratio} | ${aim} | ${one.runs}${one.quick ? ', quick' : ''} |`;
    }),
    '',
  ].join('\n');

const ROW = 22;
const LABELS = 430;
const BARS = 420;
/** On a logarithmic scale, from a tenth of the aim to ten times. */
const DECADES = 2;

/** One bar for each ratio with an aim: how many times as good as its aim. */
function chart(all: Reported[]): string {
  const rows = all.filter(({ aim }) => aim);
  const height = ROW * (rows.length + 1) + 8;
  const x = (times: number) => LABELS + (BARS * (Math.min(Math.max(Math.log10(times), -1), 1) + 1)) / DECADES;
  const bars = rows.map((one, i) => {
    const times = one.aimIs === 'at least' ? one.ratio / one.aim! : one.aim! / one.ratio;
    const [from, to] = [x(1), x(times)].toSorted((a, b) => a - b) as [number, number];
    const y = ROW * (i + 1);
    const fill = isMet(one) ? '#2a9d6f' : '#c8553d';

    return (
      `<text x="${LABELS - 8}" y="${y + 14}" text-anchor="end">${escape(one.name)}</text>` +
      `<rect x="${from.toFixed(1)}" y="${y + 3}" width="${Math.max(1, to - from).toFixed(1)}" height="${ROW - 8}" fill="${fill}"/>` +
      `<text x="${LABELS + BARS + 8}" y="${y + 14}">${one.ratio}, ${one.aimIs} ${one.aim}</text>`
    );
  });

  return `<svg xmlns="http://www.w3.org/2000/svg" width="${LABELS + BARS + 150}" height="${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="${x(1)}" y="14" text-anchor="middle">the aim</text><text x="${x(10)}" y="14" text-anchor="end">10 times better</text>
<line x1="${x(1)}" y1="18" x2="${x(1)}" y2="${height}" stroke="black"/>
${bars.join('\n')}
</svg>
`;
}

const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
