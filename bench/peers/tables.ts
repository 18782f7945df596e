/** The town of town.ts in four tables, for the peer that joins them (joins.ts). */
import mysql from 'mysql2/promise';
import { town, type TownOptions } from '../town.js';

const ROWS_AT_ONCE = 2_000;

const TABLES = {
  authors: `id CHAR(36) NOT NULL PRIMARY KEY, username VARCHAR(30) NOT NULL, name VARCHAR(50)`,
  cheeps: `id CHAR(36) NOT NULL PRIMARY KEY, position BIGINT NOT NULL, author_id CHAR(36) NOT NULL, message TEXT CHARACTER SET utf8mb4 NOT NULL,
    posted_at CHAR(24) NOT NULL, in_reply_to CHAR(36), deleted TINYINT NOT NULL,
    KEY of_author (author_id, deleted, position), KEY replies (in_reply_to, deleted)`,
  follows: `follower_id CHAR(36) NOT NULL, followed_id CHAR(36) NOT NULL, PRIMARY KEY (follower_id, followed_id)`,
  likes: `cheep_id CHAR(36) NOT NULL, liker_id CHAR(36) NOT NULL, PRIMARY KEY (cheep_id, liker_id)`,
};

/** Makes the tables of a town of that many events, and what MySQL knows of their contents. @param url of a database that is there, and empty */
export async function fillTables(url: string, events: number, options: TownOptions): Promise<void> {
  const authors = new Map<string, [username: string, name: string | null]>();
  const cheeps = new Map<
    string,
    [position: number, authorId: string, message: string, at: string, inReplyTo: string | null, isDeleted: number]
  >();
  const follows = new Map<string, [string, string]>();
  const likes = new Map<string, [string, string]>();
  for (const { event, position, at } of town(events, options)) {
    switch (event.type) {
      case 'AuthorSignedUp':
        authors.set(event.authorId, [event.username, event.name]);
        break;
      case 'CheepPosted':
        cheeps.set(event.cheepId, [position, event.authorId, event.message, at, event.inReplyTo, 0]);
        break;
      case 'CheepEdited':
        if (event.changes.message) cheeps.get(event.cheepId)![2] = event.changes.message.to;
        break;
      case 'CheepDeleted':
        cheeps.get(event.cheepId)![5] = 1;
        break;
      case 'AuthorFollowed':
      case 'AuthorUnfollowed':
        if (event.type === 'AuthorFollowed') follows.set(`${event.followerId} ${event.followedId}`, [event.followerId, event.followedId]);
        else follows.delete(`${event.followerId} ${event.followedId}`);
        break;
      case 'CheepLiked':
      case 'CheepUnliked':
        if (event.type === 'CheepLiked') likes.set(`${event.cheepId} ${event.likerId}`, [event.cheepId, event.likerId]);
        else likes.delete(`${event.cheepId} ${event.likerId}`);
        break;
      default:
      // The rest is in none of these tables.
    }
  }
  const database = await mysql.createConnection(url);
  const rows = {
    authors: [...authors].map(([id, of]) => [id, ...of]),
    cheeps: [...cheeps].map(([id, of]) => [id, ...of]),
    follows: [...follows.values()],
    likes: [...likes.values()],
  };
  for (const [table, columns] of Object.entries(TABLES)) {
    await database.query(`CREATE TABLE ${table} (${columns}) ENGINE=InnoDB CHARACTER SET ascii`);
    const all = rows[table as keyof typeof rows];
    await database.beginTransaction();
    for (let i = 0; i < all.length; i += ROWS_AT_ONCE)
      await database.query(`INSERT INTO ${table} VALUES ?`, [all.slice(i, i + ROWS_AT_ONCE)]);
    await database.commit();
    await database.query(`ANALYZE TABLE ${table}`);
  }
  await database.end();
}
