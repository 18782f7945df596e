/** Writes the schema to `schema.graphql`; with `--check`, only says whether the file is up to date (exit 1 when not). */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lexicographicSortSchema, printSchema } from 'graphql';
import { createSchema } from './schema.js';

const file = join(import.meta.dirname, '..', 'schema.graphql');
// Sorted, so that the order of imports is nobody's business.
const text = `# Emitted from gateway/ by \`npm run generate\`: change it there.\n\n${printSchema(lexicographicSortSchema(createSchema()))}\n`;

if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write('schema.graphql is not what gateway/ says: run `npm run generate`, and commit it.\n');
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, text);
}
