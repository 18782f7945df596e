/**
 * The demo of the book *CQRS by Example*, as a program. bob, alice and charlie sign up, two of them follow bob, all three
 * post, and after each step it is seen what arrived where: in MySQL, where it was decided; in JetStream, on its way; and in
 * Redis, where it is read.
 *
 * Everything is done and asked through the gateway, as any client would: GraphQL over HTTP, and a websocket for what is live.
 * The tables beside the steps come from the three servers themselves. Every line is checked, and it ends with 0 only if all
 * of them held.
 *
 * Nothing here waits for a time. A command that was only accepted is asked after until it has run. A read is sent with the
 * consistency tokens of those whose writes it is to show: it waits for them at the gateway, and is never answered with less.
 *
 * `npm run demo` starts a system for it and throws it away. CHEEPER_URL names another one (or several gateways of it, with commas),
 * and then MYSQL_URL, NATS_URL and REDIS_URL (and NAMESPACE, if it has one) are needed for the tables. `npm run demo -- guarantees`
 * runs the examples of docs/consistency.md in place of the story.
 */
import { randomBytes } from 'node:crypto';
import { CheeperClient } from '../client/client.js';
import {
  AuthorDocument,
  AuthorListsDocument,
  CommandDocument,
  FollowAuthorReceiptDocument,
  LiveTimelineDocument,
  PostCheepReceiptDocument,
  SignUpDocument,
  TimelineDocument,
  type LiveTimelineSubscription,
  type ReceiptFragment,
} from '../client/operations.js';
import { readConfig } from '../shared/config.js';
import { newId } from '../shared/ids.js';
import type { EventType } from '../shared/messages/event.js';
import { castPlayers, type Cast, type Player } from './cast.js';
import { showGuarantees } from './guarantees.js';
import { Stores } from './stores.js';
import { sideBySide, Story, type Column } from './story.js';
import { eventually, within } from './wait.js';

class Demo {
  private readonly players: Player[];
  /** Where the journal stood, and what the table said, when they were last shown. */
  private journal = 0;
  private table: Column[] = [];

  constructor(
    private readonly story: Story,
    private readonly cast: Cast,
    /** Nobody in particular: is not signed in, and reads what is public. */
    private readonly visitor: CheeperClient,
    private readonly stores: Stores | null,
  ) {
    this.players = [cast.bob, cast.alice, cast.charlie];
  }

  async play(): Promise<void> {
    if (this.stores) this.journal = await this.stores.journalHead();
    await this.nothingIsThere();
    await this.theySignUp();
    await this.twoFollowBob();
    await this.allPost();
  }

  async close(): Promise<void> {
    await Promise.all(this.players.map(({ client }) => client.close()));
  }

  // ---- 1. Nothing there ----

  private async nothingIsThere(): Promise<void> {
    const { story, cast } = this;
    story.chapter(
      '1. Nothing is there yet',
      'Reads are answered by projections in Redis, which know what was ever journalled, and nothing else.',
    );
    story.check('bob is not found, and so has no follower count', await this.author(cast.bob), null);
    for (const player of this.players) story.check(`${player.role}’s timeline is an empty list`, await this.timeline(player), []);
    await this.showWhereTheDataIs();
  }

  // ---- 2. Sign up ----

  private async theySignUp(): Promise<void> {
    const { story } = this;
    story.chapter(
      '2. bob, alice and charlie sign up, with ids of their own choice',
      'A sign-up is answered at its commit (COMMITTED, the default): the author is in MySQL by then. The author that the',
      'answer brings comes from Redis: that field waits until the projection has what was just written.',
    );
    const commandIds = [];
    for (const player of this.players) commandIds.push(await this.signUp(player));

    await this.checkJournal('three AuthorSignedUp', commandIds, { AuthorSignedUp: 3 });
    this.visitorHears(...this.players);
    for (const player of this.players) story.check(`${player.role} has 0 followers`, (await this.author(player))?.followersCount, 0);
    for (const player of this.players) story.check(`${player.role}’s timeline is still empty`, await this.timeline(player), []);
    await this.showWhereTheDataIs();
  }

  private async signUp({ role, id, username, client }: Player): Promise<string> {
    const { story } = this;
    const commandId = newId();
    const password = randomBytes(16).toString('base64url');
    const startedAt = performance.now();
    const { signUp } = await client.mutate(SignUpDocument, {
      input: { authorId: id, username, email: `${username}@${username}.com`, password, commandId },
    });
    const tookMs = since(startedAt);
    story.check(`${role} signs up: COMMITTED, after ${tookMs} ms`, told(signUp), 'COMMITTED');
    if (this.stores) story.check('  MySQL has the author', await this.stores.hasAuthor(id), true);
    story.check('  and the answer has the author, read from Redis', pick(signUp.author, 'id', 'username'), { id, username });
    client.accessToken = signUp.session?.accessToken ?? null;

    return commandId;
  }

  // ---- 3. Follow ----

  private async twoFollowBob(): Promise<void> {
    const { story } = this;
    const { bob, alice, charlie } = this.cast;
    story.chapter(
      '3. alice and charlie follow bob, and charlie’s request comes twice',
      'These are asynchronous (waitFor: ACCEPTED): answered when JetStream has the command, before anything is decided.',
      'What came of it is asked by its id, which is also what makes a repeated request the same command.',
    );
    const [byAlice, byCharlie, again] = [newId(), newId(), newId()];
    await this.follow(alice, bob, byAlice, '');
    await this.follow(charlie, bob, byCharlie, '');
    await this.follow(charlie, bob, byCharlie, ' again, with the same commandId');
    await this.follow(charlie, bob, again, ' once more, with another commandId');
    await this.noteCommands();

    await this.checkSettled(alice, byAlice, 'FollowAuthor');
    await this.checkSettled(charlie, byCharlie, 'FollowAuthor');
    // charlie's commands run in the order in which they were sent, so by now the repeated one is over and done with too.
    await this.checkSettled(charlie, again, 'FollowAuthor', 'charlie’s other');
    const line = 'two AuthorFollowed, not three: the repeated request left nothing, the other no effect';
    await this.checkJournal(line, [byAlice, byCharlie, again], { AuthorFollowed: 2, CommandHadNoEffect: 1 });

    this.visitorHears(alice, charlie);
    story.check('bob has 2 followers', (await this.author(bob))?.followersCount, 2);
    const { author } = await this.visitor.query(AuthorListsDocument, { id: bob.id });
    // Two people's commands may run in any order: each has a lane of its own.
    story.check('  alice and charlie', author?.followers.nodes.map(({ id }) => this.roleOf(id)).toSorted(), ['alice', 'charlie']);
    await this.showWhereTheDataIs();
  }

  private async follow(follower: Player, followed: Player, commandId: string, how: string): Promise<void> {
    const startedAt = performance.now();
    const { followAuthor } = await follower.client.mutate(FollowAuthorReceiptDocument, {
      input: { authorId: followed.id, commandId, waitFor: 'ACCEPTED' },
    });
    this.checkTaken(`${follower.role} follows ${followed.role}${how}`, followAuthor, since(startedAt));
  }

  // ---- 4. Post ----

  private async allPost(): Promise<void> {
    const { story } = this;
    const { bob, alice, charlie } = this.cast;
    story.chapter(
      '4. bob, alice and charlie post, and alice watches',
      'Asynchronous again. Before that, alice opens her timeline over a websocket: she is told of what she will find there.',
    );
    const frames = await this.watch(alice);
    const posts = [];
    for (const player of this.players) posts.push(await this.post(player));
    await this.noteCommands();

    const [first] = posts;
    const frame = frames && (await within(frames.next()))?.value?.timeline;
    story.check('alice’s live timeline brings bob’s cheep', brief(frame), {
      type: 'CheepAdded',
      by: bob.username,
      message: first!.message,
    });

    for (const { player, commandId } of posts) await this.checkSettled(player, commandId, 'PostCheep');
    const commandIds = posts.map(({ commandId }) => commandId);
    await this.checkJournal('three CheepPosted', commandIds, { CheepPosted: 3 });

    this.visitorHears(bob, alice, charlie);
    story.check('bob’s timeline stays empty: what one posts is not in one’s own', await this.timeline(bob), []);
    story.check('alice’s timeline holds bob’s cheep', await this.timeline(alice), [first!.message]);
    story.check('charlie’s timeline holds bob’s cheep', await this.timeline(charlie), [first!.message]);
    const entries = (await Promise.all(this.players.map((player) => this.timeline(player)))).flat();
    story.check('that makes two timeline entries, one for each follower of bob', entries.length, 2);
    for (const { player, cheepId } of posts) {
      const { author } = await this.visitor.query(AuthorListsDocument, { id: player.id });
      story.check(`${player.role}’s own cheep is on ${player.role}’s page`, author?.cheeps.nodes, [{ id: cheepId }]);
    }
    await this.showWhereTheDataIs();
  }

  private async post(player: Player) {
    const [commandId, cheepId] = [newId(), newId()];
    const message = `Hello world, this is ${player.role[0]!.toUpperCase()}${player.role.slice(1)}`;
    const startedAt = performance.now();
    const { postCheep } = await player.client.mutate(PostCheepReceiptDocument, {
      input: { message, cheepId, commandId, waitFor: 'ACCEPTED' },
    });
    this.checkTaken(`${player.role} posts “${message}”`, postCheep, since(startedAt));

    return { player, commandId, cheepId, message };
  }

  /** Opens a reader's live timeline where the page that was just read ends. */
  private async watch(reader: Player) {
    const { timeline } = await reader.client.query(TimelineDocument, {});
    const frames = reader.client.follow(LiveTimelineDocument, { after: timeline.resumeCursor });
    const frame = await within(frames.next());
    this.story.check(`${reader.role}’s timeline is live`, frame?.value?.timeline.__typename, 'TimelineLive');

    return frames;
  }

  // ---- Asking ----

  private async author({ id }: Player) {
    return (await this.visitor.query(AuthorDocument, { id })).author;
  }

  /** The messages on a timeline. */
  private async timeline({ id }: Player): Promise<string[]> {
    const { timeline } = await this.visitor.query(TimelineDocument, { authorId: id });

    return timeline.edges.map(({ node }) => node.message);
  }

  /** From here on the visitor sees what these have seen. */
  private visitorHears(...players: Player[]): void {
    for (const { client } of players) this.visitor.remember(client.consistencyToken!);
  }

  /** Accepted; or more, when the outcome was quicker than JetStream's word that it has the command. */
  private checkTaken(line: string, receipt: ReceiptFragment, tookMs: number): void {
    const status = told(receipt);
    this.story.check(`${line}: ${status}, after ${tookMs} ms`, status, status === 'COMMITTED' ? status : 'ACCEPTED');
  }

  /** What came of an accepted command is known to its sender as soon as it has run; until then the answer is null. */
  private async checkSettled({ role, client }: Player, commandId: string, name: string, whose = `${role}’s`): Promise<void> {
    const look = async () => (await client.query(CommandDocument, { id: commandId })).command;
    const command = await eventually(look, (seen) => seen !== null);
    this.story.check(`${whose} ${name} has run`, pick(command, 'name', 'status'), { name, status: 'COMMITTED' });
  }

  private roleOf = (id: string): string => this.players.find((player) => player.id === id)?.role ?? id;

  // ---- Looking behind the scenes ----

  /** Commands are there when they are accepted, and gone soon after they have run: so this is told, not checked. */
  private async noteCommands(): Promise<void> {
    if (this.stores) this.story.tell(`(COMMANDS at this moment: ${await this.stores.commandsWaiting()} messages)`);
  }

  /** What these commands, and not what followed from them, have left in the journal. */
  private async checkJournal(line: string, commandIds: string[], expected: Partial<Record<EventType, number>>): Promise<void> {
    if (!this.stores) return;
    const entries = await this.stores.journalOf(commandIds, this.journal);
    const counts: Partial<Record<EventType, number>> = {};
    for (const { type } of entries) counts[type] = (counts[type] ?? 0) + 1;
    this.story.check(`the journal has ${line}`, counts, expected);
    this.story.tell(...entries.map(({ position, type, actorId }) => `position ${position}: ${type}, by ${this.roleOf(actorId)}`));
  }

  private async showWhereTheDataIs(): Promise<void> {
    const { stores, story } = this;
    if (!stores) return;
    const { journal, events, applied, isWaiting } = await stores.arrival();
    story.check('nothing of it waits in COMMANDS any more', isWaiting, false);
    story.check(`EVENTS has the journal, up to position ${journal}`, Math.min(events, journal), journal);
    story.check('every shard of every projection has applied it', Math.min(applied, journal), journal);

    const table = await stores.counts();
    story.tell('', ...sideBySide(table, this.table));
    this.table = table;
    this.journal = journal;
  }
}

// ---- Small things

const since = (startedAt: number): number => Math.round(performance.now() - startedAt);

/** A receipt in a word: its status, or why it was refused. */
const told = ({ status, userErrors }: ReceiptFragment): string => [status, ...userErrors.map(({ code }) => code)].join(' ');

function pick<T extends object, K extends keyof T>(from: T | null, ...keys: K[]): Pick<T, K> | null {
  return from && (Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>);
}

function brief(frame: LiveTimelineSubscription['timeline'] | null | undefined) {
  if (frame?.__typename !== 'CheepAdded') return frame && { type: frame.__typename };

  return { type: frame.__typename, by: frame.cheep.author.username, message: frame.cheep.message };
}

async function openStores(story: Story): Promise<Stores | null> {
  const { MYSQL_URL, NATS_URL: nats, REDIS_URL: redis, NAMESPACE } = process.env;
  if (MYSQL_URL && nats && redis) {
    return Stores.open({ mysql: readConfig(['MYSQL_URL']).MYSQL_URL, nats, redis }, NAMESPACE || 'cheeper');
  }
  story.tell('MYSQL_URL, NATS_URL and REDIS_URL are not all given, so the tables and the journal are left out.');

  return null;
}

/** The book's story. */
async function tellTheBook(story: Story, url: string[]): Promise<void> {
  let stores: Stores | null = null;
  let demo: Demo | null = null;
  try {
    const visitor = new CheeperClient({ url });
    stores = await openStores(story);
    demo = new Demo(story, await castPlayers(story, url), visitor, stores);
    await demo.play();
  } finally {
    await demo?.close();
    await stores?.close();
  }
}

async function main(): Promise<boolean> {
  const startedAt = performance.now();
  const story = new Story();
  try {
    const addresses = process.env.CHEEPER_URL;
    if (!addresses) throw new Error('CHEEPER_URL is not set: `npm run demo` sets it');
    const urls = addresses.split(',').map((address) => new URL('/graphql', address).href);
    await (process.argv[2] === 'guarantees' ? showGuarantees(story, urls) : tellTheBook(story, urls));
  } catch (error) {
    story.breakOff(error);
  }

  return story.end(performance.now() - startedAt);
}

process.exitCode = (await main()) ? 0 : 1;
