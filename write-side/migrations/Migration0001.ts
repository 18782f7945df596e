import { Migration } from '@mikro-orm/migrations';

// Ids and handles are compared byte by byte, except usernames, which are unique in any case. Times are ISO 8601 text: the
// same in every database and every driver.
const ID = 'CHAR(36) CHARACTER SET ascii COLLATE ascii_bin';
const TIME = 'CHAR(24) CHARACTER SET ascii COLLATE ascii_bin';
const TEXT = 'TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';
const WORD = (length: number) => `VARCHAR(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

export class Migration0001 extends Migration {
  override up(): void {
    this.addSql(`CREATE TABLE authors (
      id ${ID} NOT NULL PRIMARY KEY,
      version INT UNSIGNED NOT NULL,
      username VARCHAR(30) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL UNIQUE,
      email VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE,
      name ${TEXT}, biography ${TEXT}, location ${TEXT}, website ${TEXT},
      birth_date CHAR(10) CHARACTER SET ascii COLLATE ascii_bin,
      signed_up_at ${TIME} NOT NULL
    ) ENGINE = InnoDB`);
    this.addSql(`CREATE TABLE password_hashes (author_id ${ID} NOT NULL PRIMARY KEY, hash ${WORD(255)} NOT NULL) ENGINE = InnoDB`);
    this.addSql(`CREATE TABLE cheeps (
      id ${ID} NOT NULL PRIMARY KEY,
      version INT UNSIGNED NOT NULL,
      author_id ${ID} NOT NULL,
      message ${TEXT} NOT NULL,
      in_reply_to ${ID},
      posted_at ${TIME} NOT NULL
    ) ENGINE = InnoDB`);
    this.addSql(`CREATE TABLE follows (
      id CHAR(73) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
      version INT UNSIGNED NOT NULL,
      follower_id ${ID} NOT NULL,
      followed_id ${ID} NOT NULL,
      active TINYINT(1) NOT NULL,
      KEY followed_by (follower_id, active)
    ) ENGINE = InnoDB`);

    // One row: its lock is what makes commit order position order.
    this.addSql(`CREATE TABLE journal_head (
      id TINYINT UNSIGNED NOT NULL PRIMARY KEY, position BIGINT UNSIGNED NOT NULL, epoch ${WORD(16)} NOT NULL, lanes SMALLINT UNSIGNED
    ) ENGINE = InnoDB`);
    this.addSql(`INSERT INTO journal_head (id, position, epoch) VALUES (1, 0, LEFT(MD5(CONCAT(UUID(), RAND())), 8))`);
    this.addSql(`CREATE TABLE journal (
      position BIGINT UNSIGNED NOT NULL PRIMARY KEY,
      entry_id ${ID} NOT NULL,
      type ${WORD(64)} NOT NULL,
      aggregate_type ${WORD(16)},
      aggregate_id ${WORD(80)},
      aggregate_version INT UNSIGNED,
      body MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
      UNIQUE KEY history (aggregate_type, aggregate_id, aggregate_version)
    ) ENGINE = InnoDB`);
    this.addSql(`CREATE TABLE inbox (
      sender_id ${ID} NOT NULL,
      command_id ${ID} NOT NULL,
      fingerprint ${WORD(64)} NOT NULL,
      position BIGINT UNSIGNED NOT NULL,
      outcome TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      PRIMARY KEY (sender_id, command_id)
    ) ENGINE = InnoDB`);
    this.addSql(`CREATE TABLE parked (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
      stream_created VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      sequence BIGINT UNSIGNED NOT NULL,
      stored_at VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      subject VARBINARY(1024) NOT NULL,
      headers MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
      body LONGBLOB NOT NULL,
      reason TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
      attempts INT UNSIGNED NOT NULL,
      parked_at ${TIME} NOT NULL,
      UNIQUE KEY message (stream_created, sequence, stored_at)
    ) ENGINE = InnoDB`);
  }

  override down(): void {
    throw new Error('There is no way back from the first migration but to drop the database.');
  }
}
