/**
 * Copies the part of the package `ruru` that serves the IDE into `dist/node_modules`, where the compiled gateway finds it.
 *
 * The package depends on all that its page was built from (editors, 270 MB of them), and runs without: so it is a package for
 * development only, and production installs none of that. Run by `npm run build`, after the compiler.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const from = join(root, 'node_modules/ruru');
const to = join(root, 'dist/node_modules/ruru');

/** What `ruru/server` and `ruru/static` are, but for the maps of the page's source. */
const FILES = ['package.json', 'LICENSE.md', 'dist/server.js', 'dist/static.js', 'dist/version.js', 'dist/bundleCode.js'];

rmSync(to, { recursive: true, force: true });
for (const file of FILES) {
  mkdirSync(dirname(join(to, file)), { recursive: true });
  cpSync(join(from, file), join(to, file));
}
