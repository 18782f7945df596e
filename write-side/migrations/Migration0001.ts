import { newEpoch } from '../journal.js';
import { DATE, ID, LONG_TEXT, PAIR_ID, TEXT, TIME, WORD, type Migration } from './schema.js';

export const migration0001: Migration = {
  name: 'Migration0001',
  async up(schema) {
    await schema.createTable(
      'authors',
      `id ${ID} NOT NULL PRIMARY KEY,
       version INT UNSIGNED NOT NULL,
       username VARCHAR(30) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL UNIQUE,
       email VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE,
       name ${TEXT}, biography ${TEXT}, location ${TEXT}, website ${TEXT},
       birth_date ${DATE},
       signed_up_at ${TIME} NOT NULL`,
    );
    await schema.createTable('password_hashes', `author_id ${ID} NOT NULL PRIMARY KEY, hash ${WORD(255)} NOT NULL`);
    await schema.createTable(
      'cheeps',
      `id ${ID} NOT NULL PRIMARY KEY,
       version INT UNSIGNED NOT NULL,
       author_id ${ID} NOT NULL,
       message ${TEXT} NOT NULL,
       in_reply_to ${ID},
       posted_at ${TIME} NOT NULL`,
    );
    await schema.createTable(
      'follows',
      `id ${PAIR_ID} NOT NULL PRIMARY KEY,
       version INT UNSIGNED NOT NULL,
       follower_id ${ID} NOT NULL,
       followed_id ${ID} NOT NULL,
       active BOOLEAN NOT NULL,
       KEY followed_by (follower_id, active)`,
    );

    // One row: its lock is what makes commit order position order.
    await schema.createTable(
      'journal_head',
      `id TINYINT UNSIGNED NOT NULL PRIMARY KEY, position BIGINT UNSIGNED NOT NULL, epoch ${WORD(16)} NOT NULL, lanes SMALLINT UNSIGNED`,
    );
    await schema.run('INSERT IGNORE INTO journal_head (id, position, epoch) VALUES (1, 0, ?)', [newEpoch()]);
    await schema.createTable(
      'journal',
      `position BIGINT UNSIGNED NOT NULL PRIMARY KEY,
       entry_id ${ID} NOT NULL,
       type ${WORD(64)} NOT NULL,
       aggregate_type ${WORD(16)},
       aggregate_id ${WORD(80)},
       aggregate_version INT UNSIGNED,
       body ${LONG_TEXT} NOT NULL,
       UNIQUE KEY history (aggregate_type, aggregate_id, aggregate_version)`,
    );
    await schema.createTable(
      'inbox',
      `sender_id ${ID} NOT NULL,
       command_id ${ID} NOT NULL,
       fingerprint ${WORD(64)} NOT NULL,
       position BIGINT UNSIGNED NOT NULL,
       outcome TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
       PRIMARY KEY (sender_id, command_id)`,
    );
    await schema.createTable(
      'parked',
      `id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
       stream_created ${WORD(40)} NOT NULL,
       sequence BIGINT UNSIGNED NOT NULL,
       stored_at ${WORD(40)} NOT NULL,
       subject VARBINARY(1024) NOT NULL,
       headers ${LONG_TEXT} NOT NULL,
       body LONGBLOB NOT NULL,
       reason ${TEXT} NOT NULL,
       attempts INT UNSIGNED NOT NULL,
       parked_at ${TIME} NOT NULL,
       UNIQUE KEY message (stream_created, sequence, stored_at)`,
    );
  },
};
