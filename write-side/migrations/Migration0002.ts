import { ID, PAIR_ID, TIME, WORD, type Migration } from './schema.js';

/** Cheeps that are edited and deleted, and know their thread; likes; notifications; what process managers remember. */
export const migration0002: Migration = {
  name: 'Migration0002',
  async up(schema) {
    await schema.addColumns('cheeps', { thread_id: ID, deleted: 'BOOLEAN NOT NULL DEFAULT 0' });
    // As events of that time are upcast: of a thread, what is known is the parent.
    await schema.run('UPDATE cheeps SET thread_id = COALESCE(in_reply_to, id) WHERE thread_id IS NULL');
    await schema.run(`ALTER TABLE cheeps MODIFY COLUMN thread_id ${ID} NOT NULL`);
    await schema.createTable(
      'likes',
      `id ${PAIR_ID} NOT NULL PRIMARY KEY,
       version INT UNSIGNED NOT NULL,
       liker_id ${ID} NOT NULL,
       cheep_id ${ID} NOT NULL,
       active BOOLEAN NOT NULL`,
    );
    await schema.createTable(
      'notifications',
      `id ${ID} NOT NULL PRIMARY KEY,
       recipient_id ${ID} NOT NULL,
       sequence INT UNSIGNED NOT NULL`,
    );
    await schema.createTable(
      'notification_lists',
      `author_id ${ID} NOT NULL PRIMARY KEY,
       version INT UNSIGNED NOT NULL,
       newest INT UNSIGNED NOT NULL,
       read_up_to INT UNSIGNED NOT NULL`,
    );
    await schema.createTable('process_managers', `name ${WORD(32)} NOT NULL PRIMARY KEY, position BIGINT UNSIGNED NOT NULL`);
    // A new journal has no history: all that will be in it is news.
    await schema.run(`INSERT IGNORE INTO process_managers (name, position) SELECT 'mailer', 0 FROM journal_head WHERE position = 0`);
    await schema.createTable('mails', `notification_id ${ID} NOT NULL PRIMARY KEY, recorded_at ${TIME} NOT NULL`);
  },
};
