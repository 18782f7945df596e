/**
 * Benches: `npm run bench` runs all, `npm run bench -- latency` one by name, and `-- --quick` those that compare, in less than five
 * minutes. Each prints its figures beside others that were measured in the same run: machines are noisy, so only the ratios mean anything.
 * They are kept in bench/results. See bench/README.md.
 */
import { isQuick, type Comparison } from './figures.js';
import { besideCommits, besideFrames, besidePages } from './beside.js';
import { commits } from './commits.js';
import { fanOut } from './fan-out.js';
import { frames } from './frames.js';
import { latency } from './latency.js';
import { live } from './live.js';
import { load } from './load.js';
import { overload } from './overload.js';
import { rebuild } from './rebuild.js';
import { report } from './report.js';
import { services } from './services.js';
import { sockets } from './sockets.js';
import { timelinePage } from './timeline-page.js';
import { tokenRead } from './token-read.js';

const comparing: Record<string, () => Promise<Comparison[]>> = {
  'timeline-page': timelinePage,
  commits,
  latency,
  'fan-out': fanOut,
  rebuild,
  frames,
  sockets,
  load,
};
/** What they tell has no aim. */
const telling: Record<string, () => Promise<void>> = { 'token-read': tokenRead, live, overload, services };
/** They need to be told more than their names. */
const asked: Record<string, () => Promise<void>> = {
  'beside-pages': besidePages,
  'beside-commits': besideCommits,
  'beside-frames': besideFrames,
};

// Each server in one process, whatever it would do by itself: as the peers, and so that what is measured of it is all of it.
process.env['GATEWAY_PROCESSES'] = '1';

const named = process.argv.slice(2).filter((name) => !name.startsWith('-'));
const all = [...Object.keys(comparing), ...Object.keys(telling)];
const unknown = named.find((name) => !all.includes(name) && !Object.hasOwn(asked, name));
if (unknown) {
  process.stderr.write(`There is no bench ${unknown}: there are ${[...all, ...Object.keys(asked)].join(', ')}.\n`);
  process.exit(2);
}
for (const name of named.length > 0 ? named : isQuick ? [...Object.keys(comparing), 'services'] : all) {
  if (Object.hasOwn(comparing, name)) report(name, await comparing[name]!());
  else await (telling[name] ?? asked[name])!();
}
process.exit(0);
