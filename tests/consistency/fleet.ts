/**
 * Those who use a Cheeper while something is done to it: sessions that do one thing after another, and live subscribers. All that they
 * do and see is recorded, and all that is random about it follows from one seed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { JournalEntry } from '../../shared/messages/event.js';
import { eventually } from '../system.js';
import type { ListName, SentCommand, Topic } from './history.js';
import { Past } from './past.js';
import { Random } from './random.js';
import { RecordedSession, RecordedSubscriber, Recorder, type Viewer } from './recorder.js';
import { unfinished } from './subscriptions.js';

const MAX_THINKING_MS = 80;
/** Whom each of the first citizens follows at the beginning. */
const FOLLOWED_AT_FIRST = 6;

export interface FleetOptions {
  seed: number;
  /** Of two fleets over the same journal, each must have its own: ids follow from it. */
  name?: string;
  viewers: Viewer[];
  /** Of all gateways: .../graphql */
  urls: string[];
  /** Each viewer has one, or two; the others are nobody's. */
  sessions: number;
  subscribers: number;
  readJournal(): Promise<JournalEntry[]>;
}

/** All who take part, and what is known to them. */
export class Fleet {
  readonly recorder = new Recorder();
  readonly sessions: RecordedSession[] = [];
  readonly subscribers: RecordedSubscriber[] = [];
  /** Those that were posted, by whom; deleted ones too. */
  readonly cheeps: { id: string; authorId: string }[] = [];
  isOver = false;
  private citizens: Citizen[] = [];
  private following: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: FleetOptions) {}

  get viewers(): Viewer[] {
    return this.options.viewers;
  }

  get operations(): number {
    return this.recorder.history.operations.length;
  }

  /** Numbers of its own, however many others take. */
  random(name: string): Random {
    return new Random(this.options.seed, `${this.options.name ?? ''}${name}`);
  }

  /** One gateway or another. */
  pick(random: Random): string {
    return random.pick(this.options.urls);
  }

  /** A town in which everybody follows some, with a few cheeps to answer, and those who watch it. */
  async settle(): Promise<void> {
    const { recorder, options, viewers } = this;
    recorder.history.began = (await options.readJournal()).length;
    this.citizens = Array.from({ length: options.sessions }, (_, i) => {
      const session = new RecordedSession(recorder, `session ${i}`, i < 2 * viewers.length ? viewers[i % viewers.length]! : null);
      this.sessions.push(session);

      return new Citizen(this, session);
    });
    await Promise.all(
      this.citizens.slice(0, viewers.length).map(async (citizen, i) => {
        const random = this.random(`setting ${i}`);
        for (const { id } of random.shuffled(viewers.toSpliced(i, 1)).slice(0, FOLLOWED_AT_FIRST)) {
          await citizen.write(random, { name: 'FollowAuthor', authorId: id });
        }
        await citizen.write(random, { name: 'PostCheep', cheepId: random.id(), message: `the first of ${i}`, inReplyTo: null });
      }),
    );
    this.subscribers.push(...this.watchers(this.cheeps.map(({ id }) => id).sort()));
    this.following = Promise.all(this.subscribers.map((subscriber) => subscriber.run()));
    this.following.catch(() => undefined); // It is awaited below.
  }

  /** They live until what is done to the system is done. @throws what nothing excuses, met by any of them; then it is over for all */
  async liveThrough(done: () => Promise<void>): Promise<void> {
    const all = [...this.citizens.map((citizen) => citizen.live()), this.cuts()];
    const whole = done().finally(() => (this.isOver = true));
    try {
      await Promise.race([Promise.all([...all, whole]), this.following]);
    } catch (error) {
      this.stop();
      throw error;
    } finally {
      this.isOver = true;
      await Promise.allSettled([...all, whole]);
    }
  }

  /** Sessions read once more, through all gateways, and subscribers come to the end of what concerns them. @returns the journal */
  async catchUp(deadlineMs = 30_000): Promise<JournalEntry[]> {
    const { options, viewers } = this;
    const { history } = this.recorder;
    await Promise.all(
      this.sessions.map(async (session, i) => {
        const { id } = viewers[i % viewers.length]!;
        for (const url of options.urls) {
          const request = { list: 'timeline', id, first: 100, after: null } as const;
          await eventually(() => session.readPage(url, request), `${session.name} reads a timeline`, deadlineMs);
          await eventually(() => session.readAuthor(url, id), `${session.name} reads an author`, deadlineMs);
        }
      }),
    );
    let journal = await options.readJournal();
    const isCaughtUp = async () => {
      const before = journal.length;
      journal = await options.readJournal();

      return journal.length === before && unfinished(new Past(journal), history.logs).length === 0;
    };
    // If not, the checker says who has not, and what is lacking.
    await eventually(isCaughtUp, 'all subscribers have come to the end', deadlineMs).catch(() => undefined);
    history.ended = journal.length;
    this.stop();
    await this.following;

    return options.readJournal();
  }

  /** No more is watched. */
  stop(): void {
    for (const subscriber of this.subscribers) subscriber.stop();
  }

  /** Connections of subscribers break, now and then. */
  private async cuts(): Promise<void> {
    const random = this.random('cuts');
    while (!this.isOver) {
      await pause(random.integer(50, 400));
      random.pick(this.subscribers).cut();
    }
  }

  private watchers(roots: string[]): RecordedSubscriber[] {
    const { viewers } = this;
    const random = this.random('subscribers');
    const feeds: Topic['feed'][] = ['timeline', 'timeline', 'timeline', 'timeline', 'author', 'thread', 'notifications'];

    return Array.from({ length: this.options.subscribers }, (_, i) => {
      const feed = feeds[i % feeds.length]!;
      const viewer = viewers[i % viewers.length]!;
      // Timelines and authors are public; notifications are not.
      const reader = random.chance(0.7) ? viewer.id : random.pick(viewers).id;
      const id = { timeline: reader, author: random.pick(viewers).id, thread: random.pick(roots), notifications: viewer.id }[feed];
      const name = `subscriber ${i}`;
      const own = this.random(name);
      const pick = () => this.pick(own);

      return new RecordedSubscriber(this.recorder, name, { feed, id }, viewer, {
        pick,
        transport: i % 3 === 0 ? 'eventStream' : 'websocket',
        away: () => (own.chance(0.1) ? own.integer(1_000, 6_000) : own.integer(0, 200)),
        isFresh: () => own.chance(0.3),
        isPersonal: i % 2 === 0,
        first: random.pick([5, 20, 100]),
      });
    });
  }
}

// ---- Sessions

const DEEDS = [
  ...(['post', 'post', 'post', 'reply', 'edit', 'delete', 'like', 'like', 'unlike', 'follow', 'unfollow', 'rename'] as const),
  ...(['timeline', 'timeline', 'timeline', 'timeline', 'cheeps', 'replies', 'followers', 'following', 'notifications'] as const),
  ...(['cheep', 'cheep', 'author', 'handover', 'next page', 'mark read'] as const),
];

export class Citizen {
  private readonly own: string[] = [];
  /** Notifications that it has seen. */
  private notices: string[] = [];
  private last: { list: ListName; id: string; cursor: string } | null = null;

  constructor(
    private readonly fleet: Fleet,
    readonly session: RecordedSession,
  ) {}

  /** One deed after another, until all is over. */
  async live(): Promise<void> {
    const { fleet, session } = this;
    for (let n = 0; !fleet.isOver; n++) {
      // Each deed has numbers of its own, however many the one before it took.
      const random = fleet.random(`${session.name}, ${n}`);
      const thinkingMs = random.integer(0, MAX_THINKING_MS);
      await this.act(random.pick(DEEDS), n, random);
      await pause(thinkingMs);
    }
  }

  async write(random: Random, command: DistributiveOmit<SentCommand, 'commandId' | 'actorId'>): Promise<void> {
    const { fleet } = this;
    const { viewer } = this.session;
    if (!viewer) return;
    const sent = { ...command, commandId: random.id(), actorId: viewer.id };
    // An answer that does not come at once is lost, now and then.
    const givesUpAfterMs = random.chance(0.03) ? random.integer(1, 10) : null;
    const twin = random.chance(0.05) ? fleet.pick(random) : null;
    const outcome = await this.session.write(() => fleet.pick(random), sent, { shows: random.chance(0.4), givesUpAfterMs, twin });
    if (sent.name === 'PostCheep' && outcome === 'COMMITTED') {
      this.own.push(sent.cheepId);
      fleet.cheeps.push({ id: sent.cheepId, authorId: viewer.id });
    }
  }

  private async act(deed: (typeof DEEDS)[number], n: number, random: Random): Promise<void> {
    const { fleet, session } = this;
    const url = fleet.pick(random);
    const message = `${session.name}, ${n}`;
    const [first, staleOk, recent, somebody] = [random.integer(1, 30), random.chance(0.03), random.next(), random.pick(fleet.viewers).id];
    const own = this.own.at(-1 - Math.floor(recent ** 2 * this.own.length));
    const cheep = fleet.cheeps.at(-1 - Math.floor(recent ** 3 * fleet.cheeps.length))?.id;
    const me = session.viewer?.id ?? somebody;
    const read = (list: ListName, id: string, after: string | null = null) => this.readPage(url, list, id, first, after, staleOk);
    const write = (command: Parameters<Citizen['write']>[1]) => this.write(random, command);
    switch (deed) {
      case 'post':
        return write({ name: 'PostCheep', cheepId: random.id(), message, inReplyTo: null });
      case 'reply':
        return cheep ? write({ name: 'PostCheep', cheepId: random.id(), message, inReplyTo: cheep }) : undefined;
      case 'edit':
        return own ? write({ name: 'EditCheep', cheepId: own, message: `${message}, edited` }) : undefined;
      case 'delete':
        return own ? write({ name: 'DeleteCheep', cheepId: own }) : undefined;
      case 'like':
        return cheep ? write({ name: 'LikeCheep', cheepId: cheep }) : undefined;
      case 'unlike':
        return cheep ? write({ name: 'UnlikeCheep', cheepId: cheep }) : undefined;
      case 'follow':
        return write({ name: 'FollowAuthor', authorId: somebody });
      case 'unfollow':
        return write({ name: 'UnfollowAuthor', authorId: somebody });
      case 'rename':
        return write({ name: 'UpdateProfile', fullName: message });
      case 'timeline':
        return read('timeline', random.chance(0.7) ? me : somebody);
      case 'cheeps':
      case 'followers':
      case 'following':
        return read(deed, somebody);
      case 'notifications':
        return session.viewer ? read('notifications', me) : undefined;
      case 'replies':
        return cheep ? read('replies', cheep) : undefined;
      case 'cheep':
        return cheep ? session.readCheep(url, cheep, { staleOk }) : undefined;
      case 'author':
        await session.readAuthor(url, somebody, { staleOk });
        return;
      case 'next page':
        return this.last ? read(this.last.list, this.last.id, this.last.cursor) : undefined;
      case 'mark read': {
        const upTo = this.notices.at(-1 - Math.floor(recent * this.notices.length));
        return upTo ? write({ name: 'MarkNotificationsRead', upTo }) : undefined;
      }
      case 'handover':
        session.hear(random.pick(fleet.sessions));
        return;
    }
  }

  private async readPage(url: string, list: ListName, id: string, first: number, after: string | null, staleOk: boolean): Promise<void> {
    const read = await this.session.readPage(url, { list, id, first, after }, { staleOk });
    if (!read || read === 'gone') return;
    const { page, endCursor } = read;
    if (list === 'notifications') this.notices = page.items.map((item) => item.id);
    this.last = page.hasNextPage && endCursor ? { list, id, cursor: endCursor } : null;
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
