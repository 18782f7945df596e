/** Every migration there is, in order: `migrate.ts` runs them, and services look whether all of them have been run. */
import { migration0001 } from './Migration0001.js';
import { migration0002 } from './Migration0002.js';
import { migration0003 } from './Migration0003.js';
import { migration0004 } from './Migration0004.js';
import type { Migration } from './schema.js';

export const migrationsList: readonly Migration[] = [migration0001, migration0002, migration0003, migration0004];
