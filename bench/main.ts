/**
 * Benches: `npm run bench` runs all, `npm run bench -- latency` one by name. Each prints its figures beside a floor that was
 * measured in the same run: machines are noisy, so only the ratios mean anything.
 */
import { frames } from './frames.js';
import { latency } from './latency.js';
import { live } from './live.js';
import { overload } from './overload.js';
import { rebuild } from './rebuild.js';
import { sockets } from './sockets.js';
import { tokenRead } from './token-read.js';

const benches: Record<string, () => Promise<void>> = { latency, 'token-read': tokenRead, live, sockets, frames, overload, rebuild };

const names = process.argv.slice(2).filter((name) => !name.startsWith('-'));
const unknown = names.find((name) => !Object.hasOwn(benches, name));
if (unknown) {
  process.stderr.write(`There is no bench ${unknown}: there are ${Object.keys(benches).join(', ')}.\n`);
  process.exit(2);
}
for (const name of names.length ? names : Object.keys(benches)) await benches[name]!();
process.exit(0);
