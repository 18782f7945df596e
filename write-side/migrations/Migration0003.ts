import { TIME, type Migration } from './schema.js';

/** What operators say to lanes, and what became of messages that were parked. */
export const migration0003: Migration = {
  name: 'Migration0003',
  async up(schema) {
    // A row for each lane, which every batch of the lane holds for as long as it runs: whoever has changed it knows that no
    // command is under way any more that did not know of the change.
    await schema.createTable('lanes', 'lane SMALLINT UNSIGNED NOT NULL PRIMARY KEY, steps BIGINT UNSIGNED');
    await schema.addColumns('parked', { retry_of: 'BIGINT UNSIGNED', retried_at: TIME, dropped_at: TIME });
    await schema.addKey('parked', 'retries', 'retry_of');
  },
};
