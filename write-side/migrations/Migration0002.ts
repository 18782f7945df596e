import { Migration } from '@mikro-orm/migrations';

const ID = 'CHAR(36) CHARACTER SET ascii COLLATE ascii_bin';
const TIME = 'CHAR(24) CHARACTER SET ascii COLLATE ascii_bin';
const WORD = (length: number) => `VARCHAR(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

/** Cheeps that are edited and deleted, and know their thread; likes; notifications; what process managers remember. */
export class Migration0002 extends Migration {
  override up(): void {
    this.addSql(`ALTER TABLE cheeps ADD COLUMN thread_id ${ID}, ADD COLUMN deleted TINYINT(1) NOT NULL DEFAULT 0`);
    // As events of that time are upcast: of a thread, what is known is the parent.
    this.addSql(`UPDATE cheeps SET thread_id = COALESCE(in_reply_to, id)`);
    this.addSql(`ALTER TABLE cheeps MODIFY COLUMN thread_id ${ID} NOT NULL`);
    this.addSql(`CREATE TABLE likes (
      id CHAR(73) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
      version INT UNSIGNED NOT NULL,
      liker_id ${ID} NOT NULL,
      cheep_id ${ID} NOT NULL,
      active TINYINT(1) NOT NULL
    ) ENGINE = InnoDB`);
    this.addSql(`CREATE TABLE notifications (
      id ${ID} NOT NULL PRIMARY KEY,
      recipient_id ${ID} NOT NULL,
      sequence INT UNSIGNED NOT NULL
    ) ENGINE = InnoDB`);
    this.addSql(`CREATE TABLE notification_lists (
      author_id ${ID} NOT NULL PRIMARY KEY,
      version INT UNSIGNED NOT NULL,
      newest INT UNSIGNED NOT NULL,
      read_up_to INT UNSIGNED NOT NULL
    ) ENGINE = InnoDB`);
    this.addSql(`CREATE TABLE process_managers (
      name ${WORD(32)} NOT NULL PRIMARY KEY, position BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB`);
    // A new journal has no history: all that will be in it is news.
    this.addSql(`INSERT INTO process_managers (name, position) SELECT 'mailer', 0 FROM journal_head WHERE position = 0`);
    this.addSql(`CREATE TABLE mails (notification_id ${ID} NOT NULL PRIMARY KEY, recorded_at ${TIME} NOT NULL) ENGINE = InnoDB`);
  }

  override down(): void {
    throw new Error('What was deleted, liked and told cannot be put back into the older tables.');
  }
}
