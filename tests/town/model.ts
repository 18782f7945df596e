/**
 * The rules of the microblog as a plain model: maps and arrays, one command after another. It is written from the rules in
 * words (who may do what, what everybody then sees), and shares no code with what it checks.
 *
 * A command is run at its position, the place in the journal that the answer to it names: the model runs commands in that
 * order, however they were sent.
 */

export const PROFILE_FIELDS = ['name', 'biography', 'location', 'website', 'birthDate'] as const;
export type ProfileField = (typeof PROFILE_FIELDS)[number];
export type Profile = Record<ProfileField, string | null>;

/** What the town can be told to do: fields as they are kept, all of them right by their own rules. */
export type Command =
  | { name: 'SignUp'; authorId: string; username: string; email: string; password: string; profile: Profile }
  | { name: 'UpdateProfile'; authorId: string; fields: Partial<Profile> }
  | { name: 'ChangeUsername'; authorId: string; username: string }
  | { name: 'ChangeEmail'; authorId: string; email: string }
  | { name: 'FollowAuthor'; authorId: string; followedId: string }
  | { name: 'UnfollowAuthor'; authorId: string; followedId: string }
  | { name: 'PostCheep'; authorId: string; cheepId: string; message: string; inReplyTo: string | null }
  | { name: 'EditCheep'; authorId: string; cheepId: string; message: string }
  | { name: 'DeleteCheep'; authorId: string; cheepId: string }
  | { name: 'LikeCheep'; authorId: string; cheepId: string }
  | { name: 'UnlikeCheep'; authorId: string; cheepId: string }
  | { name: 'MarkNotificationsRead'; authorId: string; upTo: string };

/** Where and when a command was settled. */
export interface Entry {
  position: number;
  /** ISO 8601, UTC. */
  at: string;
}

export interface Refusal {
  code: string;
  field: string[] | null;
}

export interface Change {
  field: string;
  from: string | null;
  to: string | null;
}

/** One line of a history. */
export interface Happening extends Entry {
  event: string;
  changes: Change[];
}

export interface Mention {
  start: number;
  end: number;
  authorId: string;
}

export interface Author {
  id: string;
  username: string;
  email: string;
  password: string;
  profile: Profile;
  version: number;
  signedUpAt: string;
  /** Whom it follows, and the position of the follow. */
  following: Map<string, number>;
  /** Oldest first; what is told is told once for ever, so nothing is ever taken out. */
  notices: Notice[];
  /** How many of the notices are read, from the oldest on. */
  readNotices: number;
  history: Happening[];
  firstFollowAt: string | null;
  /** When each of its cheeps was posted, deleted ones too. */
  postedAt: string[];
}

export interface Cheep {
  id: string;
  authorId: string;
  message: string;
  mentions: Mention[];
  inReplyTo: string | null;
  /** Where it was posted: its place in every list. */
  position: number;
  postedAt: string;
  editedAt: string | null;
  version: number;
  isDeleted: boolean;
  likers: Set<string>;
  history: Happening[];
}

export type Notice =
  | { kind: 'WELCOME' }
  | { kind: 'FOLLOW'; followerId: string }
  | { kind: 'REPLY'; cheepId: string }
  | { kind: 'MENTION'; cheepId: string }
  | { kind: 'LIKE'; cheepId: string; likerId: string };

/** One thing in a list, and what its place there goes by. */
export interface Listed {
  id: string;
  place: number | string;
}

const MAX_ANCESTORS = 100;
const MAX_NAMES = 20;

export class Town {
  authors = new Map<string, Author>();
  cheeps = new Map<string, Cheep>();
  /** The ids that notifications turned out to have, and which notice of whom each is. */
  noticeIds = new Map<string, { recipientId: string; index: number }>();

  /** Runs a command: null, or why it is refused. */
  run(command: Command, entry: Entry): Refusal | null {
    switch (command.name) {
      case 'SignUp':
        return this.signUp(command, entry);
      case 'UpdateProfile':
        return this.updateProfile(command, entry);
      case 'ChangeUsername':
        return this.changeUsername(command, entry);
      case 'ChangeEmail':
        return this.changeEmail(command, entry);
      case 'FollowAuthor':
        return this.follow(command, entry);
      case 'UnfollowAuthor':
        return this.unfollow(command);
      case 'PostCheep':
        return this.post(command, entry);
      case 'EditCheep':
        return this.edit(command, entry);
      case 'DeleteCheep':
        return this.delete(command);
      case 'LikeCheep':
        return this.like(command);
      case 'UnlikeCheep':
        return this.unlike(command);
      case 'MarkNotificationsRead':
        return this.markRead(command);
    }
  }

  /** The town as it is now, whatever happens to this one. */
  clone(): Town {
    return Object.assign(new Town(), structuredClone({ authors: this.authors, cheeps: this.cheeps, noticeIds: this.noticeIds }));
  }

  // ---- Commands

  private signUp({ authorId, username, email, password, profile }: Extract<Command, { name: 'SignUp' }>, entry: Entry): Refusal | null {
    if (this.byUsername(username)) return refusal('USERNAME_TAKEN', 'username');
    if (this.byEmail(email)) return refusal('EMAIL_TAKEN', 'email');
    if (this.authors.has(authorId) || this.cheeps.has(authorId)) return refusal('AUTHOR_ALREADY_EXISTS', 'authorId');
    const fields = Object.entries({ username, email, ...profile }).filter(([, value]) => value !== null);
    const author: Author = {
      id: authorId,
      username,
      email,
      password,
      profile: { ...profile },
      version: 1,
      signedUpAt: entry.at,
      following: new Map(),
      notices: [],
      readNotices: 0,
      history: [{ ...entry, event: 'AuthorSignedUp', changes: fields.map(([field, to]) => ({ field, from: null, to })) }],
      firstFollowAt: null,
      postedAt: [],
    };
    this.authors.set(authorId, author);
    author.notices.push({ kind: 'WELCOME' });

    return null;
  }

  private updateProfile({ authorId, fields }: Extract<Command, { name: 'UpdateProfile' }>, entry: Entry): Refusal | null {
    const author = this.author(authorId);
    const named = PROFILE_FIELDS.filter((field) => fields[field] !== undefined);
    if (named.length === 0) return refusal('NOTHING_TO_CHANGE');
    const changes: Change[] = [];
    for (const field of named) {
      const [from, to] = [author.profile[field], fields[field] ?? null];
      if (from === to) continue;
      changes.push({ field, from, to });
      author.profile[field] = to;
    }
    if (changes.length > 0) this.happened(author, entry, 'AuthorProfileUpdated', changes);

    return null;
  }

  private changeUsername({ authorId, username }: Extract<Command, { name: 'ChangeUsername' }>, entry: Entry): Refusal | null {
    const author = this.author(authorId);
    const owner = this.byUsername(username);
    if (owner && owner !== author) return refusal('USERNAME_TAKEN', 'username');
    const from = author.username;
    if (from === username) return null;
    author.username = username;
    this.happened(author, entry, 'AuthorUsernameChanged', [{ field: 'username', from, to: username }]);

    return null;
  }

  private changeEmail({ authorId, email }: Extract<Command, { name: 'ChangeEmail' }>, entry: Entry): Refusal | null {
    const author = this.author(authorId);
    const owner = this.byEmail(email);
    if (owner && owner !== author) return refusal('EMAIL_TAKEN', 'email');
    const from = author.email;
    if (from === email) return null;
    author.email = email;
    this.happened(author, entry, 'AuthorEmailChanged', [{ field: 'email', from, to: email }]);

    return null;
  }

  private follow({ authorId, followedId }: Extract<Command, { name: 'FollowAuthor' }>, { position, at }: Entry): Refusal | null {
    if (authorId === followedId) return refusal('CANNOT_FOLLOW_SELF', 'authorId');
    const followed = this.authors.get(followedId);
    if (!followed) return refusal('AUTHOR_NOT_FOUND', 'authorId');
    const author = this.author(authorId);
    if (author.following.has(followedId)) return null;
    author.following.set(followedId, position);
    author.firstFollowAt ??= at;
    if (!followed.notices.some((notice) => notice.kind === 'FOLLOW' && notice.followerId === authorId)) {
      followed.notices.push({ kind: 'FOLLOW', followerId: authorId });
    }

    return null;
  }

  private unfollow({ authorId, followedId }: Extract<Command, { name: 'UnfollowAuthor' }>): Refusal | null {
    if (!this.authors.has(followedId)) return refusal('AUTHOR_NOT_FOUND', 'authorId');
    this.author(authorId).following.delete(followedId);

    return null;
  }

  private post(command: Extract<Command, { name: 'PostCheep' }>, entry: Entry): Refusal | null {
    const { authorId, cheepId, message, inReplyTo } = command;
    if (this.cheeps.has(cheepId) || this.authors.has(cheepId)) return refusal('CHEEP_ALREADY_EXISTS', 'cheepId');
    const parent = inReplyTo === null ? null : this.cheeps.get(inReplyTo);
    if (parent === undefined) return refusal('CHEEP_NOT_FOUND', 'inReplyTo');
    if (parent?.isDeleted) return refusal('CHEEP_DELETED', 'inReplyTo');
    const changes = [{ field: 'message', from: null, to: message }];
    const cheep: Cheep = {
      id: cheepId,
      authorId,
      message,
      mentions: this.mentionsIn(message),
      inReplyTo,
      position: entry.position,
      postedAt: entry.at,
      editedAt: null,
      version: 1,
      isDeleted: false,
      likers: new Set(),
      history: [{ ...entry, event: 'CheepPosted', changes }],
    };
    this.cheeps.set(cheepId, cheep);
    this.author(authorId).postedAt.push(entry.at);
    if (parent) this.tellOfCheep(parent.authorId, { kind: 'REPLY', cheepId }, authorId);
    this.tellMentioned(cheep);

    return null;
  }

  private edit({ authorId, cheepId, message }: Extract<Command, { name: 'EditCheep' }>, entry: Entry): Refusal | null {
    const cheep = this.cheeps.get(cheepId);
    if (!cheep) return refusal('CHEEP_NOT_FOUND', 'cheepId');
    if (cheep.authorId !== authorId) return refusal('NOT_YOUR_CHEEP', 'cheepId');
    if (cheep.isDeleted) return refusal('CHEEP_DELETED', 'cheepId');
    const from = cheep.message;
    if (from === message) return null;
    cheep.message = message;
    cheep.mentions = this.mentionsIn(message);
    cheep.editedAt = entry.at;
    cheep.version += 1;
    cheep.history.push({ ...entry, event: 'CheepEdited', changes: [{ field: 'message', from, to: message }] });
    this.tellMentioned(cheep);

    return null;
  }

  private delete({ authorId, cheepId }: Extract<Command, { name: 'DeleteCheep' }>): Refusal | null {
    const cheep = this.cheeps.get(cheepId);
    if (!cheep) return refusal('CHEEP_NOT_FOUND', 'cheepId');
    if (cheep.authorId !== authorId) return refusal('NOT_YOUR_CHEEP', 'cheepId');
    cheep.isDeleted = true;

    return null;
  }

  private like({ authorId, cheepId }: Extract<Command, { name: 'LikeCheep' }>): Refusal | null {
    const cheep = this.cheeps.get(cheepId);
    if (!cheep) return refusal('CHEEP_NOT_FOUND', 'cheepId');
    if (cheep.isDeleted) return refusal('CHEEP_DELETED', 'cheepId');
    cheep.likers.add(authorId);
    const author = this.author(cheep.authorId);
    const isKnown = author.notices.some((notice) => notice.kind === 'LIKE' && notice.cheepId === cheepId && notice.likerId === authorId);
    if (author.id !== authorId && !isKnown) author.notices.push({ kind: 'LIKE', cheepId, likerId: authorId });

    return null;
  }

  private unlike({ authorId, cheepId }: Extract<Command, { name: 'UnlikeCheep' }>): Refusal | null {
    const cheep = this.cheeps.get(cheepId);
    if (!cheep) return refusal('CHEEP_NOT_FOUND', 'cheepId');
    cheep.likers.delete(authorId);

    return null;
  }

  private markRead({ authorId, upTo }: Extract<Command, { name: 'MarkNotificationsRead' }>): Refusal | null {
    const notice = this.noticeIds.get(upTo);
    if (notice?.recipientId !== authorId) return refusal('INVALID', 'upTo');
    const author = this.author(authorId);
    author.readNotices = Math.max(author.readNotices, notice.index + 1);

    return null;
  }

  private happened(author: Author, entry: Entry, event: string, changes: Change[]): void {
    author.version += 1;
    author.history.push({ ...entry, event, changes });
  }

  private tellMentioned(cheep: Cheep): void {
    for (const { authorId } of cheep.mentions) this.tellOfCheep(authorId, { kind: 'MENTION', cheepId: cheep.id }, cheep.authorId);
  }

  /** One author is told of one cheep once, be it as a reply or as a mention. */
  private tellOfCheep(recipientId: string, notice: Extract<Notice, { kind: 'REPLY' | 'MENTION' }>, byId: string): void {
    const { notices } = this.author(recipientId);
    const isTold = notices.some((told) => (told.kind === 'REPLY' || told.kind === 'MENTION') && told.cheepId === notice.cheepId);
    if (recipientId !== byId && !isTold) notices.push(notice);
  }

  // ---- Who and what there is

  /** @throws when there is none: authors are never deleted */
  author(id: string): Author {
    const author = this.authors.get(id);
    if (!author) throw new Error(`the model knows no author ${id}`);

    return author;
  }

  byUsername(username: string): Author | undefined {
    return [...this.authors.values()].find((author) => author.username.toLowerCase() === username.toLowerCase());
  }

  byEmail(email: string): Author | undefined {
    return [...this.authors.values()].find((author) => author.email === email);
  }

  /** Who signs in with that; undefined for nobody. */
  byCredentials(usernameOrEmail: string, password: string): Author | undefined {
    const author = this.byUsername(usernameOrEmail) ?? this.byEmail(usernameOrEmail.toLowerCase());

    return author?.password === password ? author : undefined;
  }

  live(id: string): Cheep | undefined {
    const cheep = this.cheeps.get(id);

    return cheep?.isDeleted ? undefined : cheep;
  }

  // ---- Lists, each in its order

  /** Newest first. */
  cheepsOf(authorId: string): Listed[] {
    return this.liveCheeps((cheep) => cheep.authorId === authorId).reverse();
  }

  /** Oldest first. */
  repliesTo(cheepId: string): Listed[] {
    return this.liveCheeps((cheep) => cheep.inReplyTo === cheepId);
  }

  /** Newest first. Empty for who is unknown. */
  timelineOf(readerId: string): Listed[] {
    const following = this.authors.get(readerId)?.following ?? new Map<string, number>();

    return this.liveCheeps((cheep) => following.has(cheep.authorId)).reverse();
  }

  /** By the follow, newest first. */
  followersOf(authorId: string): Listed[] {
    const followers = [...this.authors.values()].flatMap(({ id, following }) => {
      const place = following.get(authorId);

      return place === undefined ? [] : [{ id, place }];
    });

    return followers.sort((a, b) => b.place - a.place);
  }

  /** By the follow, newest first. */
  followingOf(authorId: string): Listed[] {
    return [...this.author(authorId).following].map(([id, place]) => ({ id, place })).sort((a, b) => b.place - a.place);
  }

  /** In the alphabet's order (as ASCII has it) of the names in lower case. */
  search(prefix: string): Listed[] {
    const found = [...this.authors.values()].map(({ id, username }) => ({ id, place: username.toLowerCase() }));

    return found.filter(({ place }) => place.startsWith(prefix.toLowerCase())).sort((a, b) => (a.place < b.place ? -1 : 1));
  }

  /** Newest first; those about a deleted cheep are gone with it. `place` is which of all notices it is. */
  notificationsOf(authorId: string): (Listed & { notice: Notice; isRead: boolean })[] {
    const author = this.author(authorId);
    const told = author.notices.map((notice, place) => ({ id: '', place, notice, isRead: place < author.readNotices }));

    return told.filter(({ notice }) => !('cheepId' in notice) || this.live(notice.cheepId)).reverse();
  }

  unreadCountOf(authorId: string): number {
    return this.notificationsOf(authorId).filter(({ isRead }) => !isRead).length;
  }

  /** From the start of the thread down to the cheep's parent, deleted ones too; the nearest 100. */
  ancestorsOf(cheepId: string): Cheep[] {
    const ancestors: Cheep[] = [];
    let next = this.cheeps.get(cheepId)?.inReplyTo;
    while (next && ancestors.length < MAX_ANCESTORS) {
      const cheep = this.cheeps.get(next)!;
      ancestors.unshift(cheep);
      next = cheep.inReplyTo;
    }

    return ancestors;
  }

  /** The authors who are named in it now, where. */
  mentionsIn(message: string): Mention[] {
    return namesIn(message).flatMap(({ start, end, username }) => {
      const author = this.byUsername(username);

      return author ? [{ start, end, authorId: author.id }] : [];
    });
  }

  /** Of those who signed up in [from, to), in milliseconds: how long, in seconds, each who got there took to each step. */
  funnel(from: number, to: number): { signedUp: number; steps: Record<FunnelStep, number[]> } {
    const among = [...this.authors.values()].filter((author) => {
      const at = Date.parse(author.signedUpAt);
      return at >= from && at < to;
    });
    const took = (moment: (author: Author) => string | undefined | null) =>
      among.flatMap((author) => {
        const at = moment(author);

        return at ? [(Date.parse(at) - Date.parse(author.signedUpAt)) / 1_000] : [];
      });
    const first = (author: Author) => author.postedAt[0];

    return {
      signedUp: among.length,
      steps: {
        FOLLOWED_SOMEBODY: took((author) => author.firstFollowAt),
        POSTED: took(first),
        POSTED_ON_ANOTHER_DAY: took((author) => author.postedAt.find((at) => at.slice(0, 10) !== first(author)!.slice(0, 10))),
      },
    };
  }

  /** Oldest first. */
  private liveCheeps(isIn: (cheep: Cheep) => boolean): Listed[] {
    const cheeps = [...this.cheeps.values()].filter((cheep) => !cheep.isDeleted && isIn(cheep));

    return cheeps.map(({ id, position }) => ({ id, place: position })).sort((a, b) => a.place - b.place);
  }
}

export type FunnelStep = 'FOLLOWED_SOMEBODY' | 'POSTED' | 'POSTED_ON_ANOTHER_DAY';

/** The smallest of the numbers such that at least `share` of them are no greater; null of none. */
export function percentile(numbers: number[], share: number): number | null {
  const sorted = numbers.toSorted((a, b) => a - b);

  return sorted.find((_, i) => (i + 1) / sorted.length >= share) ?? null;
}

/**
 * What may be a name in a message: an @, and a whole word that could be a username; the first 20. No word goes before it, no
 * sign of an address, and nothing after it makes it a longer handle. What stands in a web address is no name.
 * Read character by character; `start` and `end` count UTF-16 code units.
 */
export function namesIn(message: string): { start: number; end: number; username: string }[] {
  const characters = [...message];
  const found: { start: number; end: number; username: string }[] = [];
  let start = 0;
  let addressEnds = 0;
  for (let i = 0; i < characters.length; start += characters[i]!.length, i++) {
    if (i >= addressEnds && characters.slice(i, i + 8).join('') === 'https://') {
      addressEnds = i + 8;
      while (isInAnAddress(characters[addressEnds])) addressEnds++;
    }
    if (i < addressEnds || !isAt(characters[i])) continue;
    let last = i;
    while (isWordy(characters[last + 1])) last++;
    const username = characters.slice(i + 1, last + 1).join('');
    // `@alice/@bob` are two.
    const isNextOfTwo = characters[i - 1] === '/' && found.at(-1)?.end === start - 1;
    if (!isUsername(username) || !(isNextOfTwo || mayFollow(characters, i - 1)) || isLonger(characters, last + 1)) continue;
    found.push({ start, end: start + 1 + username.length, username });
  }

  return found.slice(0, MAX_NAMES);
}

const isAt = (character: string | undefined) => character === '@' || character === '＠';
const isUsername = (text: string) => text.length >= 3 && text.length <= 30 && [...text].every((c) => c === '_' || (c <= 'z' && isWordy(c)));
/** Of a word that could go on with a username: hiragana stands for the scripts that are written without spaces. */
const isWordy = (character: string | undefined) =>
  character !== undefined && /^[\p{L}\p{N}\p{M}_]$/u.test(character) && !/^\p{Script=Hiragana}$/u.test(character);
const isInAnAddress = (character: string | undefined) => character !== undefined && (isWordy(character) || '/.=-#:,@'.includes(character));

function mayFollow(characters: string[], before: number): boolean {
  const character = characters[before];
  if (character === undefined) return true;
  if (isWordy(character) || isAt(character) || character === '#') return false;
  if (character !== '/' && character !== '=') return true;

  return before === 0 || /^\s$/u.test(characters[before - 1]!);
}

function isLonger(characters: string[], after: number): boolean {
  const character = characters[after];
  if (isAt(character) || characters.slice(after, after + 3).join('') === '://') return true;
  if (character === '/') return /^[A-Za-z]$/.test(characters[after + 1] ?? '');

  return (character === '.' || character === '-') && isWordy(characters[after + 1]);
}

const refusal = (code: string, ...field: string[]): Refusal => ({ code, field: field.length > 0 ? field : null });
