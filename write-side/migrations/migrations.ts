/** Every migration there is, in order: `migrate.ts` runs them, and services look whether all of them have been run. */
import { Migration0001 } from './Migration0001.js';
import { Migration0002 } from './Migration0002.js';
import { Migration0003 } from './Migration0003.js';
import { Migration0004 } from './Migration0004.js';

export const migrationsList = [
  { name: 'Migration0001', class: Migration0001 },
  { name: 'Migration0002', class: Migration0002 },
  { name: 'Migration0003', class: Migration0003 },
  { name: 'Migration0004', class: Migration0004 },
];
