import { Migration } from '@mikro-orm/migrations';

const WORD = (length: number) => `VARCHAR(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

/** Entries that a shard of a projection leaves out, because an operator said so. They outlive Redis, as rebuilds must know them. */
export class Migration0004 extends Migration {
  override up(): void {
    this.addSql(`CREATE TABLE skipped_entries (
      projection ${WORD(32)} NOT NULL,
      shard SMALLINT UNSIGNED NOT NULL,
      position BIGINT UNSIGNED NOT NULL,
      reason TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
      skipped_at CHAR(24) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      PRIMARY KEY (projection, shard, position)
    ) ENGINE = InnoDB`);
  }

  override down(): void {
    this.addSql('DROP TABLE skipped_entries');
  }
}
