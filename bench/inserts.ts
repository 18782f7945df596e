/** The floor of a command that is committed: as many clients, each with a connection, insert one row after another, each durably. */
import mysql, { type Connection } from 'mysql2/promise';
import { answer } from './processes.js';

/** About as much as a journal entry of a cheep. */
const BODY = 'x'.repeat(700);

let connections: Connection[] = [];

answer({
  open: async ({ url, clients }: { url: string; clients: number }) => {
    const first = await mysql.createConnection(url);
    await first.query('CREATE TABLE inserts (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, body TEXT NOT NULL) ENGINE = InnoDB');
    connections = [first, ...(await Promise.all(Array.from({ length: clients - 1 }, () => mysql.createConnection(url))))];
  },
  run: async ({ seconds }: { seconds: number }) => {
    const begun = performance.now();
    const end = begun + seconds * 1_000;
    const okMs: number[] = [];
    await Promise.all(
      connections.map(async (connection) => {
        for (let now = performance.now(); now < end;) {
          await connection.execute('INSERT INTO inserts (body) VALUES (?)', [BODY]);
          const then = performance.now();
          okMs.push(then - now);
          now = then;
        }
      }),
    );

    return { okMs, seconds: (performance.now() - begun) / 1_000 };
  },
  close: () => Promise.all(connections.map((connection) => connection.end())),
});
