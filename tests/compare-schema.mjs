/**
 * Says what is incompatible in `schema.graphql`, compared with the contract of the last release, `docs/schema-baseline.graphql`: exit 1
 * if anything is. docs/schema-changes.md says what counts, and when the baseline moves. Two other files may be given.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CriticalityLevel, diff } from '@graphql-inspector/core';
import { buildSchema } from 'graphql';

const root = join(import.meta.dirname, '..');
const [before = join(root, 'docs/schema-baseline.graphql'), after = join(root, 'schema.graphql')] = process.argv.slice(2);

const [old, current] = [before, after].map((file) => buildSchema(readFileSync(file, 'utf8')));
const changes = await diff(/** @type {import('graphql').GraphQLSchema} */ (old), /** @type {import('graphql').GraphQLSchema} */ (current));
const breaking = changes.filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking);

if (breaking.length > 0) {
  const lines = breaking.map(({ path, message }) => `  ${path ?? ''}: ${message}`);
  process.stderr.write(
    `schema.graphql is incompatible with the contract of the last release:\n${lines.join('\n')}\nSee docs/schema-changes.md.\n`,
  );
  process.exitCode = 1;
}
