import { TEXT, TIME, WORD, type Migration } from './schema.js';

/** Entries that a shard of a projection leaves out, because an operator said so. They outlive Redis, as rebuilds must know them. */
export const migration0004: Migration = {
  name: 'Migration0004',
  async up(schema) {
    await schema.createTable(
      'skipped_entries',
      `projection ${WORD(32)} NOT NULL,
       shard SMALLINT UNSIGNED NOT NULL,
       position BIGINT UNSIGNED NOT NULL,
       reason ${TEXT} NOT NULL,
       skipped_at ${TIME} NOT NULL,
       PRIMARY KEY (projection, shard, position)`,
    );
  },
};
