-- The users of MySQL in docker-compose.yml. ops/make-secrets.sh puts the passwords in, and writes secrets/mysql.sql, which the image runs
-- once, when it initialises the data. `cheeper` is the database.

-- The one user of earlier releases, whose default password is public.
DROP USER IF EXISTS 'cheeper'@'%';

-- Reads and writes rows. It cannot change tables, nor reach another database.
CREATE USER IF NOT EXISTS 'write-side'@'%' IDENTIFIED BY '@write-side-mysql@' REQUIRE SUBJECT '/CN=write-side';
GRANT SELECT, INSERT, UPDATE, DELETE ON cheeper.* TO 'write-side'@'%';

-- Runs the migrations and the operator's command: tables, backups, and trial restores into databases named cheeper_…
CREATE USER IF NOT EXISTS 'operator'@'%' IDENTIFIED BY '@operator-mysql@' REQUIRE SUBJECT '/CN=operator';
GRANT ALL ON cheeper.* TO 'operator'@'%';
GRANT ALL ON `cheeper\_%`.* TO 'operator'@'%';
