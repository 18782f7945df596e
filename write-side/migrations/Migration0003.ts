import { Migration } from '@mikro-orm/migrations';

const TIME = 'CHAR(24) CHARACTER SET ascii COLLATE ascii_bin';

/** What operators say to lanes, and what became of messages that were parked. */
export class Migration0003 extends Migration {
  override up(): void {
    // A row for each lane, which every batch of the lane holds for as long as it runs: whoever has changed it knows that no
    // command is under way any more that did not know of the change.
    this.addSql(`CREATE TABLE lanes (
      lane SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
      steps BIGINT UNSIGNED
    ) ENGINE = InnoDB`);
    this.addSql(`ALTER TABLE parked
      ADD COLUMN retry_of BIGINT UNSIGNED,
      ADD COLUMN retried_at ${TIME},
      ADD COLUMN dropped_at ${TIME},
      ADD KEY retries (retry_of)`);
  }

  override down(): void {
    this.addSql('ALTER TABLE parked DROP KEY retries, DROP COLUMN retry_of, DROP COLUMN retried_at, DROP COLUMN dropped_at');
    this.addSql('DROP TABLE lanes');
  }
}
