/**
 * The mailer: a process manager that writes to authors about what is worth a mail. Each mail is sent once at the most: it is
 * recorded (and committed) before it is sent, and one that cannot be sent is not tried again.
 *
 * It follows the journal, so a rebuild of projections sends nothing. What was told of history is no news either: see `begin`.
 */
import { LRUCache } from 'lru-cache';
import type { ResultSetHeader, RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { crashPoint } from '../../shared/crash-point.js';
import type { Logger } from '../../shared/log.js';
import type { Notice } from '../../shared/messages/notification.js';
import { readHead } from '../journal.js';
import type { Mail, Post } from './post.js';
import type { ProcessManagerOptions } from './process-manager.js';

/** Mails under way at once, at the most. */
const MAX_UNDER_WAY = 8;
/**
 * To one address in a day, at the most: nobody's mailbox is filled by strangers who sign up only to follow them, or with that address. The mails
 * beyond are not sent; what they would say is among the notifications.
 */
const MAX_MAILS_TO_ADDRESS = 20;
const DAY_MS = 86_400_000;
/** Addresses whose mails are counted. The process that sends them is one at a time; the next one begins to count anew. */
const MAX_ADDRESSES = 50_000;

export function mailer(post: Post, log: Logger): Pick<ProcessManagerOptions, 'name' | 'mostUnderWay' | 'react' | 'begin'> {
  let historyEnd: number | null = null;
  const sent = new MailsOfToday();

  return {
    name: 'mailer',
    mostUnderWay: MAX_UNDER_WAY,
    react: ({ event }, _, connection) =>
      event.type === 'AuthorNotified' && isWorthAMail(event.notice)
        ? sendOnce({ post, connection, sent, log }, event.notificationId, event.recipientId, event.notice)
        : null,
    /**
     * Installed on a journal that has a history, it begins when the reactions to that are over: nobody gets mails about what
     * happened long ago. (A new journal has none: the migration puts the mailer at its beginning.)
     */
    begin: async (connection) => {
      historyEnd ??= (await readHead(connection)).position;
      const [[row]] = await connection.query<RowDataPacket[]>(`SELECT position FROM process_managers WHERE name = 'reactions'`);
      if (Number(row?.position ?? 0) < historyEnd) return null;

      // After that: what these reactions have led to is in the journal by now.
      return (await readHead(connection)).position;
    },
  };
}

type WorthAMail = Extract<Notice, { kind: 'WELCOME' | 'FOLLOW' }>;

const isWorthAMail = (notice: Notice): notice is WorthAMail => notice.kind === 'WELCOME' || notice.kind === 'FOLLOW';

/** @throws when MySQL fails, before anything was sent */
async function sendOnce(
  { post, connection, sent, log }: { post: Post; connection: Connection; sent: MailsOfToday; log: Logger },
  notificationId: string,
  recipientId: string,
  notice: WorthAMail,
): Promise<void> {
  const actorId = notice.kind === 'FOLLOW' ? notice.followerId : recipientId;
  const [rows] = await connection.query<RowDataPacket[]>('SELECT id, username, email FROM authors WHERE id IN (?, ?)', [
    recipientId,
    actorId,
  ]);
  const recipient = rows.find(({ id }) => id === recipientId);
  const actor = rows.find(({ id }) => id === actorId);
  if (!recipient || !actor) return log.error({ notificationId }, 'a mail to, or about, an author that is not there');
  crashPoint('mailer: before record');
  // One statement, committed by itself: whoever finds the row knows that the mail was at least about to be sent.
  const [{ affectedRows }] = await connection.query<ResultSetHeader>(
    'INSERT IGNORE INTO mails (notification_id, recorded_at) VALUES (?, ?)',
    [notificationId, new Date().toISOString()],
  );
  crashPoint('mailer: after record');
  if (affectedRows === 0) return;
  if (!sent.count(recipient.email as string))
    return log.warn({ notificationId }, 'a mail was not sent: there were too many to this address');
  try {
    await post.send({
      id: notificationId,
      to: { name: recipient.username as string, address: recipient.email as string },
      ...textOf(notice, recipient.username as string, actor.username as string),
    });
    crashPoint('mailer: after send');
  } catch (error) {
    log.error({ err: error, notificationId }, 'a mail could not be sent');
  }
}

/** To each address, from the first on for a day. */
class MailsOfToday {
  private readonly counts = new LRUCache<string, { count: number }>({ max: MAX_ADDRESSES, ttl: DAY_MS });

  /** Counts one. @returns whether it may be sent */
  count(address: string): boolean {
    const mails = this.counts.get(address) ?? { count: 0 };
    if (mails.count === 0) this.counts.set(address, mails);
    mails.count += 1;

    return mails.count <= MAX_MAILS_TO_ADDRESS;
  }
}

/** What a mail says. Usernames are letters, digits and underscores: nothing to be escaped. */
function textOf(notice: WorthAMail, recipient: string, actor: string): Pick<Mail, 'subject' | 'text'> {
  switch (notice.kind) {
    case 'WELCOME':
      return {
        subject: `Welcome to Cheeper, @${recipient}`,
        text: `Hello @${recipient},\n\nyour account is ready. Follow others, and post your first cheep!\n\nCheeper\n`,
      };
    case 'FOLLOW':
      return {
        subject: `@${actor} follows you on Cheeper`,
        text: `Hello @${recipient},\n\n@${actor} follows you now, and will read what you cheep.\n\nCheeper\n`,
      };
  }
}
