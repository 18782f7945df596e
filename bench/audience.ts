/**
 * Who listens, in the benches of what is live: readers who each follow the same few authors and some of each other, a gateway
 * process of the bench's own that all of their sockets are on, a bare websocket server, and the processes that hold the sockets.
 *
 * Posts are sent by way of the system's own gateway, so that what is measured here is the live side alone. The readers are fewer
 * than the sockets, since each costs a password's hash and dozens of commands: some sockets have the same reader, on different
 * subscriptions. (The gateway shares nothing among those that it would not share among all.)
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import type { CheeperClient } from '../client/client.js';
import { PostCheepReceiptDocument } from '../client/operations.js';
import { freePort } from '../stack/stack.mjs';
import type { OpenRequest } from './clients.js';
import { required } from './figures.js';
import { clockMs, MeasuredProcess } from './processes.js';
import { signUp } from './sign-up.js';

const READERS = 100;
/** Whom everybody follows: they post. */
const POSTERS = 3;
const OTHERS = 20;
const CLIENT_PROCESSES = 2;
/** Sign-ups at once: each takes a core for a while. */
const AT_ONCE = 8;
const DEADLINE_MS = 60_000;

const FRAME = `__typename cursor
  ... on CheepAdded { cheep { id version message postedAt repliesCount author { id username } } }
  ... on CheepEdited { cheep { id message } }
  ... on CheepRemoved { cheepId }
  ... on TimelineReset { reason }`;

/** The same for every socket, but for the reader's id in the variables. */
export const SAME_DOCUMENT = () => `subscription LiveTimeline($authorId: ID) { timeline(authorId: $authorId) { ${FRAME} } }`;
/** Every socket its own. */
export const OWN_DOCUMENT = (socket: number) =>
  `subscription LiveTimeline($authorId: ID) { timeline(authorId: $authorId) { ${FRAME} mine${socket}: __typename } }`;

interface Town {
  readerIds: string[];
  posters: CheeperClient[];
}

let town: Promise<Town> | null = null;
let posted = 0;

/** Sockets of one kind, at one server. */
export class Audience {
  constructor(
    private readonly clients: MeasuredProcess[],
    private readonly group: string,
  ) {}

  subscribe = () => this.all<void>('subscribe');
  /** When the text with that mark arrived, at each of the sockets. */
  marked = async (mark: number) => (await this.all<number[]>('marked', { mark })).flat();
  lastText = async () => (await this.all<string>('lastText'))[0]!;
  close = () => this.all<void>('close');

  private all<Answer>(ask: string, details: object = {}): Promise<Answer[]> {
    return Promise.all(this.clients.map((client) => client.ask<Answer>(ask, { group: this.group, ...details })));
  }
}

export class Stage {
  private groups = 0;

  private constructor(
    readonly gateway: MeasuredProcess,
    readonly bare: MeasuredProcess,
    private readonly clients: MeasuredProcess[],
    private readonly town: Town,
    private readonly urls: { gateway: string; bare: string },
  ) {}

  /** Makes the readers, if they are not there yet, and starts all processes afresh. @param checkout whose gateway, from the root of this one */
  static async set(checkout = '.'): Promise<Stage> {
    const readersAndPosters = await (town ??= foundTown());
    const port = await freePort();
    const gateway = new MeasuredProcess(join(checkout, 'gateway/main.ts'), {
      PORT: String(port),
      HOST: '127.0.0.1',
      LOG_LEVEL: 'error',
      SIGNING_KEY: process.env['SIGNING_KEY'] || randomBytes(32).toString('hex'),
    });
    const bare = new MeasuredProcess('bench/bare-server.ts');
    const clients = Array.from({ length: CLIENT_PROCESSES }, () => new MeasuredProcess('bench/clients.ts'));
    await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.ok, 'the gateway is ready');
    const urls = { gateway: `ws://127.0.0.1:${port}/graphql`, bare: `ws://127.0.0.1:${await bare.ask<number>('port')}` };

    return new Stage(gateway, bare, clients, readersAndPosters, urls);
  }

  /** Sockets at the gateway that are let in, and not subscribed yet. */
  async atGateway(sockets: number, document: (socket: number) => string = SAME_DOCUMENT): Promise<Audience> {
    const { readerIds } = this.town;

    return this.open(sockets, (socket) => ({
      url: this.urls.gateway,
      subscriptions: [{ query: document(socket), variables: { authorId: readerIds[socket % readerIds.length]! } }],
    }));
  }

  atBareServer(sockets: number): Promise<Audience> {
    return this.open(sockets, () => ({ url: this.urls.bare, subscriptions: [{ query: '', variables: {} }], isBare: true }));
  }

  /** A cheep that all readers hear of. */
  async post(): Promise<{ mark: number; answeredMs: number }> {
    const mark = ++posted;
    const { posters } = this.town;
    const input = { message: `mark ${mark}. What everybody who follows us gets to read.` };
    const { postCheep } = await posters[mark % posters.length]!.request(PostCheepReceiptDocument, { input });
    const answeredMs = clockMs();
    if (postCheep.status !== 'COMMITTED') throw new Error(`a post was ${postCheep.status}`);

    return { mark, answeredMs };
  }

  /** The same bytes as a frame of the gateway's, but for the mark. */
  async broadcast(frame: string): Promise<{ mark: number; begunMs: number }> {
    const mark = ++posted;
    const begunMs = await this.bare.ask<number>('broadcast', { text: frame.replace(/mark \d+/, `mark ${mark}`) });

    return { mark, begunMs };
  }

  async leave(): Promise<void> {
    await Promise.all([this.gateway, this.bare, ...this.clients].map((child) => child.stop()));
  }

  private async open(sockets: number, request: (socket: number) => OpenRequest): Promise<Audience> {
    const group = String(++this.groups);
    const taking = this.clients.slice(0, sockets);
    await Promise.all(
      taking.map((client, i) => {
        const its = Array.from({ length: Math.ceil((sockets - i) / taking.length) }, (_, n) => request(i + n * taking.length));

        return client.ask('open', { group, ...its[0]!, subscriptions: its.flatMap(({ subscriptions }) => subscriptions) });
      }),
    );

    return new Audience(taking, group);
  }
}

async function foundTown(): Promise<Town> {
  const url = `${required('CHEEPER_URL')}/graphql`;
  const begun = performance.now();
  const posters = await atOnce(POSTERS, () => signUp(url));
  const readers = await atOnce(READERS, () => signUp(url));
  await atOnce(READERS, async (i) => {
    const others = Array.from({ length: OTHERS }, (_, n) => readers[(i + n + 1) % READERS]!);
    const fields = [...posters, ...others].map(
      ({ id }, n) => `f${n}: followAuthor(input: {authorId: "${id}", waitFor: ACCEPTED}) { status userErrors { code } }`,
    );
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${readers[i]!.client.accessToken}` },
      body: JSON.stringify({ query: `mutation { ${fields.join(' ')} }` }),
    });
    const { data, errors } = (await response.json()) as { data: Record<string, { status: string }> | null; errors?: { message: string }[] };
    if (errors || !data) throw new Error(`a reader could not follow: ${errors?.[0]?.message}`);
  });
  await quiet();
  console.log(`(${READERS} readers who follow ${POSTERS + OTHERS} each took ${((performance.now() - begun) / 1_000).toFixed(0)} s.)`);

  return { readerIds: readers.map(({ id }) => id), posters: posters.map(({ client }) => client) };
}

/** Until all that follows from what was done (notifications, mails) is done too. */
async function quiet(): Promise<void> {
  const database = await mysql.createConnection(required('MYSQL_URL'));
  try {
    const behind = async () => {
      const [[row]] = await database.query<RowDataPacket[]>(
        'SELECT (SELECT position FROM journal_head) - MIN(position) AS behind FROM process_managers',
      );

      return Number(row!.behind);
    };
    await until(async () => (await behind()) === 0, 'all that follows is done');
  } finally {
    await database.end();
  }
}

async function atOnce<T>(count: number, run: (i: number) => Promise<T>): Promise<T[]> {
  const done: T[] = [];
  let next = 0;
  const work = async () => {
    while (next < count) {
      const i = next++;
      done[i] = await run(i);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));

  return done;
}

async function until(isSo: () => Promise<boolean | undefined>, what: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within ${DEADLINE_MS / 1_000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
