import { describe, expect, it } from '@jest/globals';
import { isDatabaseTrouble } from './database.js';

describe('an error of MySQL or MariaDB', () => {
  it.each([
    ['a session that waited for too long', 4031],
    ['a session that was killed', 1927],
    ['a session that was killed (MySQL)', 3169],
    ['a server that goes offline', 3032],
    ['a server that shuts down', 1053],
    ['a connection that is aborted', 1152],
    ['a new connection that is aborted', 1184],
    ['a server that is read-only', 1290],
    ['a server that has become a replica', 1836],
    ['a transaction that may only read', 1792],
    ['tables that may only be read', 1036],
    ['a group that has lost its majority', 3100],
    ['a cluster that is not ready', 1047],
    ['a binary log of statements', 1665],
    ['a full disk', 1021],
    ['a statement that took too long', 1969],
    ['a table that is not there', 1146],
    ['a right that was taken away', 1142],
  ])('says that the connection must be left: %s', (_, errno) => {
    expect(isDatabaseTrouble(Object.assign(new Error(), { errno }))).toBe(true);
  });

  it.each([
    ['a unique key', 1062],
    ['a deadlock', 1213],
    ['a syntax error', 1064],
    ['a text that is too long', 1406],
    ['a text that is not well-formed', 1366],
    ['a constraint', 3819],
  ])('says something about the statement: %s', (_, errno) => {
    expect(isDatabaseTrouble(Object.assign(new Error(), { errno, sqlState: 'HY000' }))).toBe(false);
  });

  it.each(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'])('of the network says that it is lost: %s', (code) => {
    expect(isDatabaseTrouble(Object.assign(new Error(), { code }))).toBe(true);
  });
});
