/** What authors are told of: each thing once, whatever is killed, lost or delivered again. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import {
  DeleteCheepDocument,
  EditCheepDocument,
  FollowAuthorReceiptDocument,
  LikeCheepDocument,
  LiveNotificationsDocument,
  MarkNotificationsReadDocument,
  NotificationsDocument,
  PostCheepReceiptDocument,
  UnfollowAuthorDocument,
  UnlikeCheepDocument,
  type LiveNotificationsSubscription,
  type NotificationsQuery,
  type NotificationSummaryFragment,
} from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { encodeToken } from '../shared/token.js';
import { startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import type { Author } from './load.js';
import { headerOf, startMailServer } from './mail-server.js';
import { eventually, startSystem, type System } from './system.js';

const COMMITTED = { status: 'COMMITTED', userErrors: [] };

/** Until all that follows from what is in the journal has been done. Returns a token of then. */
async function settled(system: System): Promise<string> {
  const head = await eventually(async () => {
    const rows = await system.sql<{ epoch: string; position: number }>(`
      SELECT epoch, head.position FROM journal_head head
      JOIN process_managers r ON r.name = 'reactions' AND r.position = head.position
      JOIN process_managers m ON m.name = 'mailer' AND m.position = head.position`);
    return rows[0];
  }, 'all reactions are done');

  return encodeToken({ epoch: head.epoch, position: Number(head.position) });
}

const summary = (node: NotificationSummaryFragment): string => {
  switch (node.__typename) {
    case 'WelcomeNotification':
      return 'welcome';
    case 'FollowNotification':
      return `follow by ${node.follower.username}`;
    case 'ReplyNotification':
      return `reply ${node.cheep.message}`;
    case 'MentionNotification':
      return `mention ${node.cheep.message}`;
    case 'LikeNotification':
      return `like of ${node.cheep.message} by ${node.author.username}`;
  }
};

/** All that an author was told of, newest first, when everything is done. */
async function listOf(system: System, { client }: Author) {
  const token = await settled(system);
  client.consistencyToken = token;
  const { notifications } = await client.request(NotificationsDocument, { first: 100 });
  const nodes = notifications.edges.map(({ node }) => node);

  return { ...notifications, nodes, told: nodes.map(summary) };
}

/** As `listOf`, however many there are. */
async function allOf(system: System, author: Author) {
  const { nodes, pageInfo, unreadCount } = await listOf(system, author);
  for (let { hasNextPage, endCursor } = pageInfo; hasNextPage;) {
    const { notifications }: NotificationsQuery = await author.client.request(NotificationsDocument, {
      first: 100,
      after: endCursor ?? null,
    });
    nodes.push(...notifications.edges.map(({ node }) => node));
    ({ hasNextPage, endCursor } = notifications.pageInfo);
  }

  return { nodes, unreadCount };
}

const post = async ({ client }: Author, message: string, inReplyTo: string | null = null) => {
  const cheepId = newId();
  const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message, cheepId, inReplyTo } });
  expect(postCheep).toMatchObject(COMMITTED);

  return cheepId;
};
const edit = async ({ client }: Author, cheepId: string, message: string) =>
  expect((await client.request(EditCheepDocument, { input: { cheepId, message } })).editCheep).toMatchObject(COMMITTED);
const remove = async ({ client }: Author, cheepId: string) =>
  expect((await client.request(DeleteCheepDocument, { input: { cheepId } })).deleteCheep).toMatchObject(COMMITTED);
const follow = async ({ client }: Author, { id }: Author) =>
  expect((await client.request(FollowAuthorReceiptDocument, { input: { authorId: id } })).followAuthor).toMatchObject(COMMITTED);
const unfollow = async ({ client }: Author, { id }: Author) =>
  expect((await client.request(UnfollowAuthorDocument, { input: { authorId: id } })).unfollowAuthor).toMatchObject(COMMITTED);
const like = async ({ client }: Author, cheepId: string) =>
  expect((await client.request(LikeCheepDocument, { input: { cheepId } })).likeCheep).toMatchObject(COMMITTED);
const unlike = async ({ client }: Author, cheepId: string) =>
  expect((await client.request(UnlikeCheepDocument, { input: { cheepId } })).unlikeCheep).toMatchObject(COMMITTED);
const markRead = async ({ client }: Author, upTo: string) =>
  (await client.request(MarkNotificationsReadDocument, { input: { upTo } })).markNotificationsRead;

describe('an author', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system?.stop());
  const people = async () => [await system.author(), await system.author(), await system.author()] as const;

  it('is welcomed once, and told of each follower once for ever', async () => {
    const [alice, bob, carol] = await people();
    await follow(bob, alice);
    await unfollow(bob, alice);
    await follow(bob, alice);
    await follow(carol, alice);

    const { told, unreadCount } = await listOf(system, alice);
    expect(told).toEqual([`follow by ${carol.username}`, `follow by ${bob.username}`, 'welcome']);
    expect(unreadCount).toBe(3);
    expect((await listOf(system, bob)).told).toEqual(['welcome']);
  });

  it('is told of each who likes a cheep once for ever, and goes on being told after the like is taken back', async () => {
    const [alice, bob] = await people();
    const [first, second] = [await post(alice, 'first'), await post(alice, 'second')];
    await like(bob, first);
    await unlike(bob, first);
    await like(bob, first);
    await unlike(bob, first);
    await like(bob, second);

    expect((await listOf(system, alice)).told).toEqual([
      `like of second by ${bob.username}`,
      `like of first by ${bob.username}`,
      'welcome',
    ]);
  });

  it('is told of replies and mentions, of one cheep once, the reply before the mention', async () => {
    const [alice, bob, carol] = await people();
    const cheep = await post(alice, 'hello');
    await post(bob, `@${alice.username} and @${carol.username}`, cheep);
    await post(bob, `@${carol.username} @${carol.username} @nobody_at_all`);

    expect((await listOf(system, alice)).told).toEqual([`reply @${alice.username} and @${carol.username}`, 'welcome']);
    expect((await listOf(system, carol)).told).toEqual([
      `mention @${carol.username} @${carol.username} @nobody_at_all`,
      `mention @${alice.username} and @${carol.username}`,
      'welcome',
    ]);
  });

  it('is told of nothing that it did itself', async () => {
    const [alice] = await people();
    const cheep = await post(alice, `I am @${alice.username}`);
    await post(alice, `@${alice.username}!`, cheep);
    await like(alice, cheep);
    await edit(alice, cheep, `I am still @${alice.username}`);

    expect((await listOf(system, alice)).told).toEqual(['welcome']);
  });

  it('is told once that it is mentioned in a cheep, whatever is edited', async () => {
    const [alice, bob, carol] = await people();
    const cheep = await post(alice, `@${bob.username}`);
    await edit(alice, cheep, 'nobody');
    await edit(alice, cheep, `@${bob.username} @${carol.username}`);
    await edit(alice, cheep, `@${carol.username} @${bob.username}`);

    for (const author of [bob, carol]) {
      expect((await listOf(system, author)).told).toEqual([`mention @${carol.username} @${bob.username}`, 'welcome']);
    }
  });

  it('has no notification about a cheep that is deleted, and keeps the others', async () => {
    const [alice, bob, carol] = await people();
    const cheep = await post(alice, 'going');
    const reply = await post(bob, `for @${carol.username}`, cheep);
    await like(bob, cheep);
    await like(carol, cheep);
    await follow(bob, alice);
    expect((await listOf(system, alice)).unreadCount).toBe(5);
    expect((await listOf(system, carol)).told).toEqual([`mention for @${carol.username}`, 'welcome']);

    await remove(bob, reply);
    expect((await listOf(system, carol)).told).toEqual(['welcome']);
    await remove(alice, cheep);
    const after = await listOf(system, alice);
    expect(after.told).toEqual([`follow by ${bob.username}`, 'welcome']);
    expect(after.unreadCount).toBe(2);
  });

  it('marks as read up to one of its own, never back; others’ and unknown ones are INVALID', async () => {
    const [alice, bob, carol] = await people();
    await follow(bob, alice);
    await follow(carol, alice);
    const [newest, middle, oldest] = (await listOf(system, alice)).nodes;

    expect(await markRead(alice, middle!.id)).toMatchObject({ ...COMMITTED, unreadCount: 1 });
    const { nodes, unreadCount } = await listOf(system, alice);
    expect(nodes.map(({ read }) => read)).toEqual([false, true, true]);
    expect(unreadCount).toBe(1);
    expect(await markRead(alice, oldest!.id)).toMatchObject({ ...COMMITTED, unreadCount: 1 });
    expect(await markRead(alice, newest!.id)).toMatchObject({ ...COMMITTED, unreadCount: 0 });

    const refused = { status: 'REJECTED', userErrors: [{ code: 'INVALID', field: ['upTo'] }], unreadCount: null };
    expect(await markRead(bob, newest!.id)).toMatchObject(refused);
    expect(await markRead(bob, newId())).toMatchObject(refused);
    expect(await markRead(bob, 'no id')).toMatchObject(refused);
    expect((await listOf(system, bob)).unreadCount).toBe(1);
  });

  it('pages through all of them, and sees nobody else’s', async () => {
    const [alice, ...others] = await people();
    for (const other of others) {
      await follow(other, alice);
      await like(other, await post(alice, other.username));
    }
    const { told } = await listOf(system, alice);
    expect(told).toHaveLength(5);
    const seen: string[] = [];
    for (let after: string | null = null; ;) {
      const { notifications }: NotificationsQuery = await alice.client.request(NotificationsDocument, { first: 2, after });
      expect(notifications.unreadCount).toBe(5);
      seen.push(...notifications.edges.map(({ node }) => summary(node)));
      after = notifications.pageInfo.endCursor ?? null;
      if (!notifications.pageInfo.hasNextPage) break;
    }
    expect(seen).toEqual(told);

    const nobody = system.client();
    expect((await nobody.ask(NotificationsDocument, {})).errors[0]?.extensions?.code).toBe('UNAUTHENTICATED');
    const input = { upTo: newId() };
    expect((await nobody.ask(MarkNotificationsReadDocument, { input })).errors[0]?.extensions?.code).toBe('UNAUTHENTICATED');
    await expect(nobody.subscribe(LiveNotificationsDocument, {}).next()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('gets a mail for the welcome and for each follower, and for nothing else, in a folder', async () => {
    const [alice, bob] = await people();
    await follow(bob, alice);
    await like(bob, await post(alice, 'no mail'));
    await settled(system);
    const files = await readdir(system.mailFolder);
    expect(files.filter((file) => !file.endsWith('.eml'))).toEqual([]);
    const mails = await Promise.all(files.map((file) => readFile(join(system.mailFolder, file), 'utf8')));
    const subjects = mails
      .filter((mail) => headerOf(mail, 'To').includes(`${alice.username}@example.org`))
      .map((mail) => headerOf(mail, 'Subject'));
    expect(subjects.toSorted()).toEqual([`@${bob.username} follows you on Cheeper`, `Welcome to Cheeper, @${alice.username}`]);
  });

  it('hears of them live, with what is unread, in every session, and resumes where it was', async () => {
    const [alice, bob] = await people();
    const { resumeCursor } = await listOf(system, alice);
    type Frame = LiveNotificationsSubscription['notifications'];
    const open = (after?: string | null) => {
      const session = system.client({ accessToken: alice.client.accessToken });
      const frames = session.subscribe(LiveNotificationsDocument, { after: after ?? null });
      return { next: async (): Promise<Frame> => (await frames.next()).value!.notifications, close: () => frames.return?.() };
    };
    const [first, second] = [open(resumeCursor), open(resumeCursor)];
    for (const { next } of [first, second]) expect(await next()).toMatchObject({ __typename: 'NotificationsLive' });

    await follow(bob, alice);
    const cheep = await post(alice, 'live');
    await like(bob, cheep);
    const followed = { __typename: 'NotificationAdded', notification: { follower: { id: bob.id }, read: false }, unreadCount: 2 };
    const liked = { __typename: 'NotificationAdded', notification: { cheep: { id: cheep }, author: { id: bob.id } }, unreadCount: 3 };
    const cursors: string[] = [];
    for (const { next } of [first, second]) {
      const added = await next();
      cursors.push(added.cursor);
      expect(added).toMatchObject(followed);
      expect(await next()).toMatchObject(liked);
    }
    await second.close();

    const { nodes } = await listOf(system, alice);
    await markRead(alice, nodes[1]!.id);
    expect(await first.next()).toMatchObject({ __typename: 'NotificationsRead', unreadCount: 1 });
    const resumed = open(cursors[1]);
    expect(await resumed.next()).toMatchObject(liked);
    expect(await resumed.next()).toMatchObject({ __typename: 'NotificationsRead', unreadCount: 1 });
    expect(await resumed.next()).toMatchObject({ __typename: 'NotificationsLive' });

    await remove(alice, cheep);
    for (const { next } of [first, resumed]) {
      expect(await next()).toMatchObject({ __typename: 'NotificationsReset', reason: 'CHEEP_DELETED' });
    }
    expect((await listOf(system, alice)).told).toEqual([`follow by ${bob.username}`, 'welcome']);
    await first.close();
    await resumed.close();
    // What was missed and is no more is one reset.
    const late = open(cursors[0]);
    expect(await late.next()).toMatchObject({ __typename: 'NotificationsReset', reason: 'CHEEP_DELETED' });
    expect(await late.next()).toMatchObject({ __typename: 'NotificationsLive' });
    await late.close();
  });
});

describe('whatever happens to the servers and the services', () => {
  let system: System;
  let mailServer: Awaited<ReturnType<typeof startMailServer>>;
  beforeAll(async () => {
    mailServer = await startMailServer();
    system = await startSystem({ env: { MAIL_URL: mailServer.url } });
  });
  afterAll(async () => {
    await system?.stop();
    await mailServer?.stop();
  });
  const PEOPLE = 12;
  let authors: Author[];
  const allLists = async () => Promise.all(authors.map(async (author) => (await listOf(system, author)).told.toSorted()));
  let lists: string[][];

  /** Each thing once; a mail may have got lost with the process that was sending it, and none came twice. */
  const expectMailsOnce = async () => {
    const ids = mailServer.mails.map((mail) => headerOf(mail, 'Message-ID'));
    expect(new Set(ids).size).toBe(ids.length);
    const recorded = await system.sql<{ id: string }>(`SELECT CONCAT('<', notification_id, '@cheeper>') AS id FROM mails`);
    for (const id of ids) expect(recorded.map((row) => row.id)).toContain(id);
    return ids.length;
  };

  it('each is told of each thing exactly once, when the write side is killed in the middle of a burst, again and again', async () => {
    const [writeSide] = system.writeSides;
    authors = await Promise.all(Array.from({ length: PEOPLE }, () => system.author()));
    const cheeps = await Promise.all(authors.map((author) => post(author, `by ${author.username}`)));
    let isOver = false;
    const killing = (async () => {
      for (let n = 0; n < 4; n++) {
        const [{ position }] = (await system.sql<{ position: number }>('SELECT position FROM journal_head')) as [{ position: number }];
        // In the middle of things: some of the burst is in the journal, and it goes on.
        await eventually(
          async () => isOver || (await system.sql('SELECT 1 FROM journal_head WHERE position > ?', [Number(position) + 40])).length > 0,
          'the journal has grown',
        );
        await writeSide!.stop('SIGKILL');
        writeSide!.start();
        await writeSide!.ready();
      }
    })();
    // A command that is accepted only is run later.
    const send = async (author: Author, i: number) => {
      for (const other of authors) {
        if (other === author) continue;
        await author.client.ask(FollowAuthorReceiptDocument, { input: { authorId: other.id } });
        await author.client.ask(LikeCheepDocument, { input: { cheepId: cheeps[authors.indexOf(other)]! } });
      }
      const input = { message: `@${authors[(i + 1) % PEOPLE]!.username}`, inReplyTo: cheeps[(i + 2) % PEOPLE]! };
      await author.client.ask(PostCheepReceiptDocument, { input });
    };
    await Promise.all(authors.map(send));
    isOver = true;
    await killing;
    // What was only accepted is run in the end.
    const pairs = PEOPLE * (PEOPLE - 1);
    await eventually(async () => {
      const [row] = await system.sql<Record<'follows' | 'likes' | 'cheeps', number>>(
        'SELECT (SELECT COUNT(*) FROM follows) AS follows, (SELECT COUNT(*) FROM likes) AS likes, (SELECT COUNT(*) FROM cheeps) AS cheeps',
      );
      return row!.follows === pairs && row!.likes === pairs && row!.cheeps === 2 * PEOPLE;
    }, 'all that was sent is done');
    lists = await allLists();
    authors.forEach((author, i) => {
      const others = authors.filter((other) => other !== author).map(({ username }) => username);
      const expected = [
        'welcome',
        ...others.map((name) => `follow by ${name}`),
        ...others.map((name) => `like of by ${author.username} by ${name}`),
        `mention @${author.username}`,
        `reply @${authors[(i + PEOPLE - 1) % PEOPLE]!.username}`,
      ];
      expect(lists[i]).toEqual(expected.toSorted());
    });
    expect(await expectMailsOnce()).toBeGreaterThan(PEOPLE);
  }, 240_000);

  it('nobody is told or written to again when everything is delivered again', async () => {
    const [writeSide] = system.writeSides;
    const before = await expectMailsOnce();
    await writeSide!.stop();
    await system.sql('UPDATE process_managers SET position = 0');
    writeSide!.start();
    await writeSide!.ready();
    expect(await allLists()).toEqual(lists);
    expect(await expectMailsOnce()).toBe(before);
  });

  it('a rebuild of the projections brings the same lists, and no mail', async () => {
    const before = await expectMailsOnce();
    const [readSide] = system.readSides;
    await readSide!.stop();
    const keys = await system.redis.keys(`${system.namespace}:*`);
    expect(keys.length).toBeGreaterThan(0);
    await system.redis.unlink(keys);
    readSide!.start();
    await readSide!.ready();
    expect(await allLists()).toEqual(lists);
    expect(await expectMailsOnce()).toBe(before);
  });

  it('a write side that has lost all its connections to MySQL goes on with new ones', async () => {
    const [alice, bob] = [await system.author(), await system.author()];
    await settled(system);
    // Whoever has a connection loses it.
    const connections = await system.sql<{ id: number }>(
      'SELECT id AS id FROM information_schema.processlist WHERE db = ? AND id <> CONNECTION_ID()',
      [system.namespace],
    );
    for (const { id } of connections) await system.sql(`KILL ${Number(id)}`).catch(() => undefined); // It may be gone by itself.
    await eventually(async () => {
      const { data } = await bob.client.ask(FollowAuthorReceiptDocument, { input: { authorId: alice.id } });
      return data?.followAuthor.status === 'COMMITTED';
    }, 'a follow is committed');
    expect((await listOf(system, alice)).told).toEqual([`follow by ${bob.username}`, 'welcome']);
  });

  it('a mailer that is new on an old journal writes about what happens from now on only', async () => {
    const [writeSide] = system.writeSides;
    await writeSide!.stop();
    await system.sql('DELETE FROM process_managers');
    await system.sql('DELETE FROM mails');
    const before = mailServer.mails.length;
    writeSide!.start();
    await writeSide!.ready();
    await settled(system);
    expect(mailServer.mails.length).toBe(before);
    const dave = await system.author();
    await settled(system);
    expect(mailServer.mails.slice(before).map((mail) => headerOf(mail, 'Subject'))).toEqual([`Welcome to Cheeper, @${dave.username}`]);
  });
});

describe('when the write side is killed and NATS loses all that it has, and when the journal gets a new epoch', () => {
  let dataDir: string;
  let stack: Stack;
  let system: System;
  beforeAll(async () => {
    dataDir = await temporaryFolder();
    stack = await startStack({ dataDir, servers: ['nats'] });
    const [mysqlUrl, redisUrl] = [process.env.TEST_MYSQL_URL!, process.env.TEST_REDIS_URL!];
    system = await startSystem({ servers: { mysqlUrl, redisUrl, natsUrl: stack.natsUrl } });
  });
  afterAll(async () => {
    await system?.stop();
    await stack?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('each is told of all that was committed, once', async () => {
    const authors = await Promise.all(Array.from({ length: 8 }, () => system.author()));
    const [celebrity, ...fans] = authors as [Author, ...Author[]];
    const cheeps = await Promise.all(Array.from({ length: 20 }, (_, i) => post(celebrity, `cheep ${i}`)));
    const liking = Promise.all(
      fans.map(async ({ client }) => {
        // What is lost with NATS was never answered COMMITTED, and is not asked for again here.
        for (const cheepId of cheeps) await client.ask(LikeCheepDocument, { input: { cheepId } });
      }),
    );
    await eventually(async () => (await system.sql('SELECT 1 FROM likes')).length > 20, 'some likes are there');
    // Commands that were on their way are in no memory any more: only the journal tells what must follow.
    const [writeSide] = system.writeSides;
    await writeSide!.stop('SIGKILL');
    await stack.wipe('nats');
    await stack.restart('nats');
    writeSide!.start();
    await liking;
    for (const service of [...system.writeSides, ...system.readSides, ...system.gateways]) await service.ready(30_000);
    const likes = await system.sql<{ liker: string }>('SELECT liker_id AS liker FROM likes');
    expect(likes.length).toBeGreaterThan(20);

    const { nodes, unreadCount } = await allOf(system, celebrity);
    expect(unreadCount).toBe(1 + likes.length);
    const told = nodes.map((node) => summary(node));
    expect(new Set(told).size).toBe(told.length);
  });

  it('what was on its way when the write side was killed and NATS was lost follows from the journal', async () => {
    const [alice, bob] = [await system.author(), await system.author()];
    await settled(system);
    const [writeSide] = system.writeSides;
    const holder = await mysql.createConnection(system.env.MYSQL_URL);
    await holder.query('LOCK TABLES notification_lists WRITE');
    await follow(bob, alice);
    await eventually(async () => {
      const waiting = `SELECT 1 FROM information_schema.processlist WHERE db = ? AND state LIKE 'Waiting for table%lock'`;
      return (await system.sql(waiting, [system.namespace])).length > 0;
    }, 'the notification waits for its list');
    await writeSide!.stop('SIGKILL');
    await stack.wipe('nats');
    await holder.end();
    await stack.restart('nats');
    writeSide!.start();
    for (const service of [...system.writeSides, ...system.readSides, ...system.gateways]) await service.ready(30_000);

    expect((await listOf(system, alice)).told).toEqual([`follow by ${bob.username}`, 'welcome']);
  });

  it('goes on being told in the new epoch, and not again of what was before', async () => {
    const [alice, bob] = [await system.author(), await system.author()];
    await follow(bob, alice);
    await settled(system);
    await system.sql(`UPDATE journal_head SET epoch = 'another'`);
    const carol = await eventually(() => {
      for (const { client } of [alice, bob]) client.consistencyToken = null;
      return system.author().catch(() => null); // Not everybody has heard of the new epoch yet.
    }, 'somebody can sign up and be read');
    await carol.client.ask(FollowAuthorReceiptDocument, { input: { authorId: alice.id } });
    expect((await listOf(system, alice)).told).toEqual([`follow by ${carol.username}`, `follow by ${bob.username}`, 'welcome']);
  });
});
