/**
 * Writes the JSON Schemas of the public events' data to docs/public-events/; with `--check`, only says whether the files are
 * up to date (exit 1 when not).
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { cloudEventType, publicEventList, schemaId } from './public-events.js';

const folder = join(import.meta.dirname, '..', '..', 'docs', 'public-events');
const SUFFIX = '.schema.json';

const files = new Map(
  publicEventList.map((event) => {
    // As input: fields that are not named are allowed, so that adding one breaks nobody who checks.
    const { $schema, ...schema } = z.toJSONSchema(event.data, { io: 'input' });
    const text = { $schema, $id: schemaId(event), title: cloudEventType(event), description: event.description, ...schema };

    return [`${event.name}.v${event.version}${SUFFIX}`, `${JSON.stringify(text, null, 2)}\n`];
  }),
);
mkdirSync(folder, { recursive: true });
const there = readdirSync(folder).filter((name) => name.endsWith(SUFFIX));
const stale = there.filter((name) => !files.has(name));

if (process.argv.includes('--check')) {
  const wrong = [...files].filter(([name, text]) => !there.includes(name) || readFileSync(join(folder, name), 'utf8') !== text);
  if (wrong.length > 0 || stale.length > 0) {
    const names = [...wrong.map(([name]) => name), ...stale].join(', ');
    process.stderr.write(
      `docs/public-events/ is not what write-side/public-events/ says (${names}): run \`npm run generate\`, and commit it.\n`,
    );
    process.exitCode = 1;
  }
} else {
  for (const [name, text] of files) writeFileSync(join(folder, name), text);
  for (const name of stale) rmSync(join(folder, name));
}
