/**
 * Clients that write down what they do and see. They know the public face alone: GraphQL over HTTP, and graphql-transport-ws. Tokens
 * and cursors are opaque to them; only what is written down for the checker is decoded.
 *
 * A `RecordedSession` does one thing after another, whichever gateway it is told to ask, and keeps its token. A `RecordedSubscriber`
 * follows one topic through any number of sockets, and goes on after the last cursor that it saw.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { parseResumeCursor } from '../../gateway/resume-cursor.js';
import { decode, decodeToken } from '../../shared/token.js';
import { z } from 'zod';
import type {
  Cursor,
  FrameKind,
  History,
  ListName,
  Outcome,
  LiveFrame,
  LiveLog,
  Report,
  Seen,
  SeenAuthor,
  SeenCheep,
  SeenPage,
  SentCommand,
  Topic,
} from './history.js';

export interface Viewer {
  id: string;
  accessToken: string;
}

/** One answer, and what it costs to have one: the request may fail, time out, or be given up. */
interface Answer {
  data: Record<string, unknown> | null;
  errors: { message: string; extensions?: { code?: string } }[];
  extensions: { consistency?: { token: string; position: string; satisfied: boolean } };
}

const ANSWER_DEADLINE_MS = 8_000;
/** How long a command whose answer is lost is asked for again, and how long a page is that a subscriber needs: while processes
 * die one after another, there may be nobody for long who could answer. */
const INSISTING_MS = 120_000;
const PAUSE_MS = 100;
/** That are sent at once. */
const MAX_TOKENS = 16;

/** Those that say: not now. Any other is a fault of the test, or of the system. */
const EXPECTED_CODES = new Set(['NOT_CAUGHT_UP', 'UNAVAILABLE', 'OVERLOADED']);

// ---- What is asked, and what the answers mean

const CHEEP = 'id version message likesCount repliesCount';
const CHEEP_OF_VIEWER = `${CHEEP} likedByViewer`;
const AUTHOR = 'id version name followersCount followingCount cheepsCount';
const AUTHOR_OF_VIEWER = `${AUTHOR} isFollowedByViewer`;
const CHEEPS = `edges { cursor node { ${CHEEP_OF_VIEWER} } } pageInfo { hasNextPage position }`;
const AUTHORS = `totalCount edges { cursor node { ${AUTHOR_OF_VIEWER} } } pageInfo { hasNextPage position }`;
const NOTIFICATIONS = 'unreadCount edges { cursor node { id } } pageInfo { hasNextPage position }';
const PAGE = '$first: Int, $after: String';
const ARGS = 'first: $first, after: $after';

const LISTS: Record<ListName, { query: string; path: string[] }> = {
  timeline: { query: `query ($id: ID!, ${PAGE}) { timeline(authorId: $id, ${ARGS}) { resumeCursor ${CHEEPS} } }`, path: ['timeline'] },
  cheeps: {
    query: `query ($id: ID!, ${PAGE}) { author(id: $id) { ${AUTHOR_OF_VIEWER} cheeps(${ARGS}) { ${CHEEPS} } } }`,
    path: ['author', 'cheeps'],
  },
  replies: {
    query: `query ($id: ID!, ${PAGE}) { cheep(id: $id) { ${CHEEP_OF_VIEWER} replies(${ARGS}) { resumeCursor ${CHEEPS} } } }`,
    path: ['cheep', 'replies'],
  },
  followers: {
    query: `query ($id: ID!, ${PAGE}) { author(id: $id) { ${AUTHOR_OF_VIEWER} followers(${ARGS}) { ${AUTHORS} } } }`,
    path: ['author', 'followers'],
  },
  following: {
    query: `query ($id: ID!, ${PAGE}) { author(id: $id) { ${AUTHOR_OF_VIEWER} following(${ARGS}) { ${AUTHORS} } } }`,
    path: ['author', 'following'],
  },
  notifications: { query: `query (${PAGE}) { notifications(${ARGS}) { resumeCursor ${NOTIFICATIONS} } }`, path: ['notifications'] },
};

interface Connection {
  resumeCursor?: string | null;
  edges: { cursor: string; node: Row }[];
  pageInfo: { hasNextPage: boolean; position: string };
  totalCount?: number;
  unreadCount?: number;
}
type Row = { id: string } & NonNullable<SeenCheep['row']> & NonNullable<SeenAuthor['row']>;

const placeOf = (cursor: string): number => decode(cursor, z.object({ at: z.number() }), 'cursor of a list').at;

const cheepSeen = (id: string, viewer: Viewer | null, row: Row | null, from: number, to: number): SeenCheep => {
  const viewerId = viewer?.id ?? null;
  if (!row) return { type: 'cheep', id, viewerId, row: null, from, to };
  const { version, message, likesCount, repliesCount, likedByViewer } = row;

  return { type: 'cheep', id, viewerId, row: { version, message, likesCount, repliesCount, likedByViewer }, from, to };
};

const authorSeen = (id: string, viewer: Viewer | null, row: Row | null, from: number, to: number): SeenAuthor => {
  const viewerId = viewer?.id ?? null;
  if (!row) return { type: 'author', id, viewerId, row: null, from, to };
  const { version, name, followersCount, followingCount, cheepsCount, isFollowedByViewer } = row;

  return {
    type: 'author',
    id,
    viewerId,
    row: { version, name, followersCount, followingCount, cheepsCount, isFollowedByViewer },
    from,
    to,
  };
};

interface ReadPage {
  page: SeenPage;
  /** What the list stands in, where that is a cheep. */
  root: SeenCheep | null;
  resumeCursor: string | null;
  endCursor: string | null;
}

export interface ListRequest {
  list: ListName;
  id: string;
  first: number;
  /** The cursor of an item, as it came. */
  after: string | null;
}

/** Undefined when what it stands in is not there. */
function connectionIn(list: ListName, { data }: Answer): Connection | undefined {
  let found: unknown = data;
  for (const name of LISTS[list].path) found = (found as Record<string, unknown> | null)?.[name];

  return (found ?? undefined) as Connection | undefined;
}

/** What a page shows: itself, its rows, and what it stands in. */
function pageSeen({ list, id, first, after }: ListRequest, viewer: Viewer | null, answer: Answer, { position, token }: Report): Seen[] {
  const [outer] = LISTS[list].path;
  const root = answer.data![outer!] as Row | null;
  const rootSeen: Seen[] =
    outer === 'cheep'
      ? [cheepSeen(id, viewer, root, position, token)]
      : outer === 'author'
        ? [authorSeen(id, viewer, root, position, token)]
        : [];
  const connection = connectionIn(list, answer);
  if (!connection) return rootSeen;
  const { edges, pageInfo, resumeCursor, totalCount, unreadCount } = connection;
  const at = Number(pageInfo.position);
  if (resumeCursor && parseResumeCursor(resumeCursor).position !== at) throw new Error(`a page as of ${at} goes on from ${resumeCursor}`);
  const page: SeenPage = {
    type: 'page',
    list,
    id,
    first,
    after: after === null ? null : placeOf(after),
    items: edges.map(({ cursor, node }) => ({ id: node.id, place: placeOf(cursor) })),
    hasNextPage: pageInfo.hasNextPage,
    from: at,
    to: at,
    ...(totalCount === undefined ? {} : { totalCount }),
    ...(unreadCount === undefined ? {} : { unreadCount }),
  };
  const rows = edges.flatMap(({ node }): Seen[] => {
    if (list === 'notifications') return [];

    return [(list === 'followers' || list === 'following' ? authorSeen : cheepSeen)(node.id, viewer, node, at, token)];
  });

  return [page, ...rootSeen, ...rows];
}

const MUTATIONS: Record<SentCommand['name'], { field: string; shows: string }> = {
  PostCheep: { field: 'postCheep', shows: `cheep { ${CHEEP_OF_VIEWER} }` },
  EditCheep: { field: 'editCheep', shows: `cheep { ${CHEEP_OF_VIEWER} }` },
  DeleteCheep: { field: 'deleteCheep', shows: 'cheepId' },
  LikeCheep: { field: 'likeCheep', shows: `cheep { ${CHEEP_OF_VIEWER} }` },
  UnlikeCheep: { field: 'unlikeCheep', shows: `cheep { ${CHEEP_OF_VIEWER} }` },
  FollowAuthor: { field: 'followAuthor', shows: `author { ${AUTHOR_OF_VIEWER} }` },
  UnfollowAuthor: { field: 'unfollowAuthor', shows: `author { ${AUTHOR_OF_VIEWER} }` },
  MarkNotificationsRead: { field: 'markNotificationsRead', shows: 'unreadCount' },
  UpdateProfile: { field: 'updateProfile', shows: `author { ${AUTHOR_OF_VIEWER} }` },
};

interface Receipt {
  commandId: string | null;
  status: 'ACCEPTED' | 'COMMITTED' | 'PROJECTED' | 'REJECTED';
  userErrors: { code: string }[];
  cheep?: Row | null;
  author?: Row | null;
}

function inputOf(command: SentCommand): Record<string, unknown> {
  const { commandId } = command;
  switch (command.name) {
    case 'PostCheep':
      return { commandId, cheepId: command.cheepId, message: command.message, inReplyTo: command.inReplyTo };
    case 'EditCheep':
      return { commandId, cheepId: command.cheepId, message: command.message };
    case 'DeleteCheep':
    case 'LikeCheep':
    case 'UnlikeCheep':
      return { commandId, cheepId: command.cheepId };
    case 'FollowAuthor':
    case 'UnfollowAuthor':
      return { commandId, authorId: command.authorId };
    case 'MarkNotificationsRead':
      return { commandId, upTo: command.upTo };
    case 'UpdateProfile':
      return { commandId, name: command.fullName };
  }
}

// ---- Recording

export class Recorder {
  readonly history: History = { began: 0, ended: 0, operations: [], logs: [] };
  private readonly begin = performance.now();
  private epoch: string | null = null;

  now(): number {
    return performance.now() - this.begin;
  }

  positionOf(token: string): number {
    const { epoch, position } = decodeToken(token);
    this.epoch ??= epoch;
    if (epoch !== this.epoch) throw new Error(`a token of the epoch ${epoch} came in the epoch ${this.epoch}`);

    return position;
  }

  cursorOf(cursor: string): Cursor {
    const { epoch, position, index } = parseResumeCursor(cursor);
    if (epoch !== this.epoch) throw new Error(`a cursor of the epoch ${epoch} came in the epoch ${this.epoch}`);

    return { position, index };
  }

  reportOf({ extensions: { consistency } }: Answer): Report {
    if (!consistency) throw new Error('an answer without extensions.consistency');
    const { token, position, satisfied } = consistency;

    return { token: this.positionOf(token), position: Number(position), satisfied };
  }
}

export class RecordedSession {
  /** The newest of its own, and those that friends gave it since. */
  private tokens: string[] = [];

  constructor(
    private readonly recorder: Recorder,
    public name: string,
    readonly viewer: Viewer | null,
  ) {}

  /** The newest of its own. */
  get token(): string | null {
    return this.tokens[0] ?? null;
  }

  /** All that it sends. */
  get allTokens(): readonly string[] {
    return this.tokens;
  }

  /** Takes over what a friend has seen. */
  hear(friend: RecordedSession): void {
    const { recorder } = this;
    const { token } = friend;
    if (!token || this.tokens.length === MAX_TOKENS) return;
    const start = recorder.now();
    this.tokens = [...this.tokens, token];
    recorder.history.operations.push({
      kind: 'handover',
      session: this.name,
      from: friend.name,
      token: recorder.positionOf(token),
      start,
      end: recorder.now(),
    });
  }

  /** The page and its cursors, as they came; `gone` when what the list stands in is not there; null when nothing was to be had. */
  async readPage(url: string, request: ListRequest, options: { staleOk?: boolean } = {}): Promise<ReadPage | 'gone' | null> {
    const { list, id, first, after } = request;
    let connection: Connection | undefined;
    const seen = await this.read(url, list, LISTS[list].query, { id, first, after }, options, (answer, report) => {
      connection = connectionIn(list, answer);

      return pageSeen(request, this.viewer, answer, report);
    });
    if (!seen) return null;
    const page = seen.find((one) => one.type === 'page');
    const isGone = list === 'replies' && seen.some((one) => one.type === 'cheep' && one.row === null);
    if (!page && isGone) return 'gone';
    if (!page || !connection) return null;

    const root = list === 'replies' ? (seen.find((one) => one.type === 'cheep') ?? null) : null;

    return { page, root, resumeCursor: connection.resumeCursor ?? null, endCursor: connection.edges.at(-1)?.cursor ?? null };
  }

  async readCheep(url: string, id: string, options: { staleOk?: boolean } = {}): Promise<void> {
    const query = `query ($id: ID!) { cheep(id: $id) { ${CHEEP_OF_VIEWER} } }`;
    await this.read(url, 'cheep', query, { id }, options, ({ data }, { position, token }) => [
      cheepSeen(id, this.viewer, data!.cheep as Row | null, position, token),
    ]);
  }

  async readAuthor(url: string, id: string, options: { staleOk?: boolean } = {}): Promise<boolean> {
    const query = `query ($id: ID!) { author(id: $id) { ${AUTHOR_OF_VIEWER} } }`;
    const seen = await this.read(url, 'author', query, { id }, options, ({ data }, { position, token }) => [
      authorSeen(id, this.viewer, data!.author as Row | null, position, token),
    ]);

    return seen !== null;
  }

  /** Null when it failed, as it may. */
  private async read(
    url: string,
    name: string,
    query: string,
    variables: Record<string, unknown>,
    { staleOk = false }: { staleOk?: boolean },
    see: (answer: Answer, report: Report) => Seen[],
  ): Promise<Seen[] | null> {
    const { recorder } = this;
    const start = recorder.now();
    const answer = await this.ask(url, query, variables, staleOk ? { 'x-cheeper-read': 'stale-ok', 'x-cheeper-wait-ms': '50' } : {});
    const end = recorder.now();
    const operation = { kind: 'read', session: this.name, name, start, end, staleOk } as const;
    if (!answer?.data || answer.errors.length > 0) {
      recorder.history.operations.push({ ...operation, report: null, seen: [] });
      return null;
    }
    const report = recorder.reportOf(answer);
    const seen = see(answer, report);
    recorder.history.operations.push({ ...operation, report, seen });
    this.tokens = [answer.extensions.consistency!.token];

    return seen;
  }

  /**
   * Sends a command until there is an outcome, each time to the gateway that `pick` names, always as the same command.
   * @param shows whether what it is about is selected beside the receipt
   * @param givesUpAfterMs the first answer is not waited for any longer, and lost
   * @param twin another gateway to which it is sent at the same time
   */
  async write(
    pick: () => string,
    command: SentCommand,
    { shows = false, givesUpAfterMs = null as number | null, twin = null as string | null } = {},
  ): Promise<Outcome> {
    const { recorder, name: session } = this;
    const start = recorder.now();
    const other = twin === null ? null : this.send(twin, command, false, ANSWER_DEADLINE_MS);
    for (let attempt = 0; recorder.now() - start < INSISTING_MS; attempt++) {
      if (attempt > 0) await pause(PAUSE_MS);
      const waitMs = attempt === 0 && givesUpAfterMs !== null ? givesUpAfterMs : ANSWER_DEADLINE_MS;
      const settled = await this.send(pick(), command, shows, waitMs);
      if (!settled) continue;
      const end = recorder.now();
      const { outcome, report, seen, token } = settled;
      // Its token is covered too, but the session does not look at it.
      const same = await other;
      const twinSaid = same && { outcome: same.outcome, position: same.report.position };
      recorder.history.operations.push({ kind: 'write', session, command, start, end, outcome, twin: twinSaid, report, seen });
      this.tokens = [token];

      return outcome;
    }
    await other;
    const unknown = { outcome: 'unknown', twin: null, report: null, seen: [] } as const;
    recorder.history.operations.push({ kind: 'write', session, command, start, end: Infinity, ...unknown, seen: [] });

    return 'unknown';
  }

  /** Null when that did not settle it. */
  private async send(url: string, command: SentCommand, shows: boolean, waitMs: number) {
    const mutation = MUTATIONS[command.name];
    const input = `${mutation.field[0]!.toUpperCase()}${mutation.field.slice(1)}Input`;
    const fields = `commandId status userErrors { code } ${shows ? mutation.shows : ''}`;
    const query = `mutation ($input: ${input}!) { ${mutation.field}(input: $input) { ${fields} } }`;
    const answer = await this.ask(url, query, { input: inputOf(command) }, {}, waitMs);
    const receipt = answer?.data?.[mutation.field] as Receipt | null | undefined;
    if (!answer || !receipt || receipt.status === 'ACCEPTED') return null;
    if (!receipt.commandId) throw new Error(`${command.name} was refused at the door: ${JSON.stringify(receipt.userErrors)}`);
    const outcome: Outcome = receipt.status === 'REJECTED' ? 'REJECTED' : 'COMMITTED';
    const report = this.recorder.reportOf(answer);
    const { position, token } = report;
    const seen: Seen[] = [];
    // With an error, it was not to be had in time.
    if (outcome === 'COMMITTED' && answer.errors.length === 0) {
      if (receipt.cheep !== undefined && 'cheepId' in command) {
        seen.push(cheepSeen(command.cheepId, this.viewer, receipt.cheep, position, token));
      }
      const authorId = 'authorId' in command ? command.authorId : command.actorId;
      if (receipt.author !== undefined) seen.push(authorSeen(authorId, this.viewer, receipt.author, position, token));
    }

    return { outcome, report, seen, token: answer.extensions.consistency!.token };
  }

  /** Null when no answer came. @throws for an error that no fault excuses */
  private async ask(
    url: string,
    query: string,
    variables: Record<string, unknown>,
    headers: Record<string, string>,
    waitMs = ANSWER_DEADLINE_MS,
  ): Promise<Answer | null> {
    let answer: Partial<Answer>;
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...this.parameters(), ...headers },
        body: JSON.stringify({ query, variables }),
        signal: AbortSignal.timeout(waitMs),
      });
      answer = (await response.json()) as Partial<Answer>;
    } catch {
      return null;
    }
    const { data = null, errors = [], extensions = {} } = answer;
    expectCodes(errors);

    return { data, errors, extensions };
  }

  /** Of a request, or of a socket. */
  parameters(): Record<string, string> {
    return {
      ...(this.viewer ? { authorization: `Bearer ${this.viewer.accessToken}` } : {}),
      ...(this.tokens.length > 0 ? { 'x-cheeper-consistency': this.tokens.join(', ') } : {}),
    };
  }

  /**
   * A frame of a subscription came. Its token covers those that the subscription began with, and the frames before it, but not what was
   * learnt beside it.
   * @returns what the next frame's covers
   */
  saw(token: string, covered: readonly string[]): readonly string[] {
    this.tokens = [...this.tokens.filter((one) => !covered.includes(one)), token];

    return [token];
  }

  /** From here on it is another client of the same viewer, which has seen nothing: another session. */
  begin(name: string): void {
    this.name = name;
    this.tokens = [];
  }
}

/** Of a response that refuses, in the form of all errors; what has another form is an error that nothing excuses. */
function errorsIn(status: number, text: string): Answer['errors'] {
  const unknown = [{ message: `${status} ${text}` }];
  try {
    return (JSON.parse(text) as Partial<Answer>).errors ?? unknown;
  } catch {
    return unknown;
  }
}

function expectCodes(errors: Answer['errors']): void {
  for (const { message, extensions } of errors) {
    if (!EXPECTED_CODES.has(extensions?.code ?? '')) throw new Error(`an error that nothing excuses: ${extensions?.code}: ${message}`);
  }
}

// ---- Live

const TYPES: Record<string, FrameKind> = {
  CheepAdded: 'added',
  CheepEdited: 'edited',
  CheepRemoved: 'removed',
  ReplyAdded: 'added',
  ThreadCheepChanged: 'edited',
  ThreadCheepDeleted: 'removed',
  AuthorChanged: 'changed',
  NotificationAdded: 'added',
  NotificationsRead: 'read',
  TimelineLive: 'live',
  ThreadLive: 'live',
  AuthorLive: 'live',
  NotificationsLive: 'live',
  TimelineReset: 'reset',
  ThreadReset: 'reset',
  AuthorReset: 'reset',
  NotificationsReset: 'reset',
};

interface EventData {
  __typename: string;
  cursor: string;
  reason?: string;
  cheep?: Row;
  cheepId?: string;
  author?: Row;
  notification?: { id: string };
  unreadCount?: number;
}

/** @param isPersonal whether what is the viewer's own is selected too */
function subscriptionOf(feed: Topic['feed'], isPersonal: boolean): string {
  const cheep = `cheep { ${isPersonal ? CHEEP_OF_VIEWER : CHEEP} }`;
  switch (feed) {
    case 'timeline':
      return `subscription ($id: ID, $after: String) { timeline(authorId: $id, after: $after) { __typename cursor
        ... on CheepAdded { ${cheep} } ... on CheepEdited { ${cheep} } ... on CheepRemoved { cheepId } ... on TimelineReset { reason } } }`;
    case 'thread':
      return `subscription ($id: ID!, $after: String) { thread(cheepId: $id, after: $after) { __typename cursor
        ... on ReplyAdded { ${cheep} } ... on ThreadCheepChanged { ${cheep} } ... on ThreadCheepDeleted { cheepId }
        ... on ThreadReset { reason } } }`;
    case 'author':
      return `subscription ($id: ID!, $after: String) { author(id: $id, after: $after) { __typename cursor
        ... on AuthorChanged { author { ${isPersonal ? AUTHOR_OF_VIEWER : AUTHOR} } } ... on AuthorReset { reason } } }`;
    case 'notifications':
      return `subscription ($after: String) { notifications(after: $after) { __typename cursor
        ... on NotificationAdded { notification { id } unreadCount } ... on NotificationsRead { unreadCount }
        ... on NotificationsReset { reason } } }`;
  }
}

/** What is sent to subscribe, and by whom. */
interface SubscriptionRequest {
  query: string;
  variables: Record<string, unknown>;
  /** Who subscribes, and what it has seen. */
  parameters: Record<string, string>;
}

type Message = { type: 'begun' } | { type: 'next'; answer: Answer } | { type: 'refused'; errors: Answer['errors'] };

/** What comes of one subscription, in order, until it ends: whoever is told to cut looks at nothing more. */
class Channel {
  private messages: Message[] = [];
  private isOver = false;
  private wake: () => void = () => undefined;

  push(message: Message): void {
    this.messages.push(message);
    this.wake();
  }

  end(): void {
    this.isOver = true;
    this.wake();
  }

  drop(): void {
    this.messages = [];
    this.end();
  }

  /** Null when there is no more. */
  async take(): Promise<Message | null> {
    while (this.messages.length === 0 && !this.isOver) await new Promise<void>((resolve) => (this.wake = resolve));

    return this.messages.shift() ?? null;
  }
}

/** One way to subscribe. @returns what cuts the connection */
type Transport = (url: string, request: SubscriptionRequest, channel: Channel) => () => void;

/** graphql-transport-ws, a socket for each subscription. */
const websocket: Transport = (url, { query, variables, parameters }, channel) => {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), 'graphql-transport-ws', { handshakeTimeout: ANSWER_DEADLINE_MS });
  const send = (message: object) => socket.send(JSON.stringify(message));
  socket.on('open', () => send({ type: 'connection_init', payload: parameters }));
  socket.on('message', (data: Buffer) => {
    const { type, payload } = JSON.parse(data.toString()) as { type: string; payload?: unknown };
    if (type === 'connection_ack') {
      send({ id: '1', type: 'subscribe', payload: { query, variables } });
      channel.push({ type: 'begun' });
    } else if (type === 'next') channel.push({ type: 'next', answer: payload as Answer });
    else if (type === 'error') channel.push({ type: 'refused', errors: payload as Answer['errors'] });
    else if (type === 'ping') send({ type: 'pong' });
    else if (type === 'complete') channel.end();
  });
  socket.on('error', () => undefined); // Its close tells.
  socket.on('close', () => channel.end());

  return () => socket.terminate();
};

/** graphql-sse, a response for each subscription. */
const eventStream: Transport = (url, { query, variables, parameters }, channel) => {
  const connection = new AbortController();
  const read = async () => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...parameters },
      body: JSON.stringify({ query, variables }),
      signal: connection.signal,
    });
    if (!response.ok) return channel.push({ type: 'refused', errors: errorsIn(response.status, await response.text()) });
    channel.push({ type: 'begun' });
    let text = '';
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
      text += part;
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        const data = /^event: next\ndata: (.*)$/s.exec(event)?.[1];
        if (data) channel.push({ type: 'next', answer: JSON.parse(data) as Answer });
      }
    }
  };
  // However it ends, another one is begun.
  read().then(
    () => channel.end(),
    () => channel.end(),
  );

  return () => connection.abort();
};

const TRANSPORTS = { websocket, eventStream };

export interface SubscriberOptions {
  transport: keyof typeof TRANSPORTS;
  /** Names the gateway for the next connection, or page. */
  pick: () => string;
  /** How long it stays away when its connection is gone, in milliseconds. */
  away: () => number;
  /** Whether it then is another client, which has the cursor alone. */
  isFresh: () => boolean;
  /** Whether what is the viewer's own is selected too. */
  isPersonal: boolean;
  /** How many items its pages have. */
  first: number;
}

export class RecordedSubscriber {
  readonly log: LiveLog;
  /** How often it had to begin again, after its socket was gone. */
  resumed = 0;
  private readonly session: RecordedSession;
  private readonly query: string;
  private cutConnection: () => void = () => undefined;
  /** Tokens that the next frame's covers. */
  private covered: readonly string[] = [];
  private cursor: string | null = null;
  private isOver = false;

  constructor(
    private readonly recorder: Recorder,
    name: string,
    readonly topic: Topic,
    private readonly viewer: Viewer,
    private readonly options: SubscriberOptions,
  ) {
    this.log = { subscriber: name, topic, steps: [] };
    recorder.history.logs.push(this.log);
    this.session = new RecordedSession(recorder, name, viewer);
    this.query = subscriptionOf(topic.feed, options.isPersonal);
  }

  /** Until it is told to stop. */
  async run(): Promise<void> {
    if (this.topic.feed !== 'author') await this.page();
    for (let n = 0; !this.isOver; n++) {
      if (n > 0) {
        this.resumed += 1;
        await pause(this.options.away());
        if (this.options.isFresh()) this.session.begin(`${this.log.subscriber}, client ${n}`);
      }
      await this.follow(this.options.pick());
    }
  }

  /** Cuts the connection, and with it what has come and was not yet looked at. */
  cut(): void {
    this.cutConnection();
  }

  stop(): void {
    this.isOver = true;
    this.cut();
  }

  /** The page that frames go on from. */
  private async page(): Promise<void> {
    const { feed, id } = this.topic;
    if (feed === 'author') return;
    const list = feed === 'thread' ? 'replies' : feed;
    const start = this.recorder.now();
    while (!this.isOver) {
      const read = await this.session.readPage(this.options.pick(), { list, id, first: this.options.first, after: null });
      if (read === 'gone') {
        this.log.steps.push({ type: 'gone' });
        return;
      }
      if (read) {
        this.log.steps.push({ type: 'page', page: read.page, root: read.root });
        // Later ones come beside frames: what they bring again is dropped.
        this.cursor ??= read.resumeCursor;
        return;
      }
      if (this.recorder.now() - start > INSISTING_MS) throw new Error(`${this.log.subscriber} could not fetch its page`);
      await pause(PAUSE_MS);
    }
  }

  /** One connection, to its end. */
  private async follow(url: string): Promise<void> {
    const { session, recorder, log, cursor, query, topic } = this;
    const variables = { id: topic.id, after: cursor };
    this.covered = session.allTokens;
    const floor = Math.max(0, ...this.covered.map((token) => recorder.positionOf(token)));
    const channel = new Channel();
    const cut = TRANSPORTS[this.options.transport](url, { query, variables, parameters: session.parameters() }, channel);
    this.cutConnection = () => {
      cut();
      channel.drop();
    };
    try {
      for (let message = await channel.take(); message !== null && !this.isOver; message = await channel.take()) {
        if (message.type === 'begun') log.steps.push({ type: 'subscribed', after: cursor === null ? null : recorder.cursorOf(cursor) });
        else if (message.type === 'refused') return expectCodes(message.errors);
        else if (!(await this.next(message.answer, floor))) return;
      }
    } finally {
      cut();
    }
  }

  /** False when it cannot go on. @param floor what the session had seen when it subscribed: nothing older comes */
  private async next(answer: Answer, floor: number): Promise<boolean> {
    if (answer.errors?.length) {
      expectCodes(answer.errors);
      return false;
    }
    const { token } = this.recorder.reportOf(answer);
    const event = answer.data![this.topic.feed] as EventData;
    const kind = TYPES[event.__typename];
    if (!kind) throw new Error(`nobody knows what ${event.__typename} means`);
    const at = this.recorder.cursorOf(event.cursor);
    const from = Math.max(at.position, floor);
    const { cheep, author, notification, cheepId, reason = null, unreadCount } = event;
    const frame: LiveFrame = {
      type: 'frame',
      kind,
      at,
      token,
      subject: cheep?.id ?? author?.id ?? notification?.id ?? cheepId ?? null,
      reason,
      seen: cheep
        ? cheepSeen(cheep.id, this.viewer, cheep, from, token)
        : author
          ? authorSeen(author.id, this.viewer, author, from, token)
          : null,
      ...(unreadCount === undefined ? {} : { unreadCount }),
    };
    this.log.steps.push(frame);
    this.cursor = event.cursor;
    this.covered = this.session.saw(answer.extensions.consistency!.token, this.covered);
    // What comes meanwhile waits its turn.
    if (kind === 'reset') await this.page();

    return true;
  }
}
