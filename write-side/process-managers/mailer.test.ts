/** What is sent by the mailer is in tests/notifications.test.ts; here is how much of it. */
import { describe, expect, it } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { newId } from '../../shared/ids.js';
import type { Logger } from '../../shared/log.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { mailer } from './mailer.js';
import type { Mail } from './post.js';

const [alice, bob] = [newId(), newId()];
const EMAILS = new Map([
  [alice, 'alice@example.org'],
  [bob, 'bob@example.org'],
]);

/** Authors without number: one whose id is not known is called by it. */
const connection = {
  query: async (sql: string, values: unknown) => {
    if (!sql.startsWith('SELECT')) return [{ affectedRows: 1 }];

    return [(values as string[]).map((id) => ({ id, username: `u${id.slice(0, 8)}`, email: EMAILS.get(id) ?? `${id}@example.org` }))];
  },
} as unknown as Connection;
const log = { warn: () => undefined } as unknown as Logger;

const followed = (recipientId: string) =>
  ({
    event: { type: 'AuthorNotified', notificationId: newId(), recipientId, sequence: 1, notice: { kind: 'FOLLOW', followerId: newId() } },
  }) as unknown as JournalEntry;

describe('the mailer', () => {
  it('sends 20 mails a day to an address, however many follow', async () => {
    const mails: Mail[] = [];
    const { react } = mailer({ send: async (mail) => void mails.push(mail) }, log);
    const signal = new AbortController().signal;
    for (let i = 0; i < 50; i++) await react(followed(alice), signal, connection);
    for (let i = 0; i < 3; i++) await react(followed(bob), signal, connection);
    expect(mails.filter(({ to }) => to.address === 'alice@example.org')).toHaveLength(20);
    expect(mails.filter(({ to }) => to.address === 'bob@example.org')).toHaveLength(3);
  });
});
