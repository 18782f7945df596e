/**
 * Writes the manifest of `operations.ts` to `persisted-documents.json`, which is part of the package; with `--check`, only says whether the
 * file is up to date (exit 1 when not).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kind, type DocumentNode } from 'graphql';
import { manifestOf } from '../manifest.js';
import * as operations from '../operations.js';

const file = join(import.meta.dirname, '..', 'persisted-documents.json');
const documents: DocumentNode[] = Object.values(operations).filter((one) => one.kind === Kind.DOCUMENT);
const text = `${JSON.stringify(await manifestOf(documents), null, 2)}\n`;

if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write('client/persisted-documents.json is not what client/ says: run `npm run generate`, and commit it.\n');
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, text);
}
