/** The public face, as the town's people use it: GraphQL over HTTP, through whichever gateway, with the newest tokens. */
import { expect } from '@jest/globals';
import { Kind, parse, print, visit } from 'graphql';
import type { System } from '../system.js';

export interface Answer {
  data: Record<string, unknown> | null;
  errors: { message: string; extensions?: { code?: string } }[];
  /** As of which the answer is; of a command, its place in the journal. */
  position: number;
}

export const AUTHOR_FIELDS = `fragment AuthorFields on Author {
  id version username name biography location website birthDate email signedUpAt
  followersCount followingCount cheepsCount isFollowedByViewer
}`;

/** What a cheep shows wherever it stands in a list. */
export const CARD_FIELDS = `fragment CardFields on Cheep {
  id version message postedAt editedAt likesCount likedByViewer repliesCount author { id username }
}`;

export const CHEEP_FIELDS = `fragment CheepFields on Cheep {
  id version message postedAt editedAt likesCount likedByViewer repliesCount
  author { id username }
  mentions { start end author { id username } }
  inReplyTo { __typename ... on Cheep { id message } ... on DeletedCheep { id cheepId } }
  ancestors { __typename ... on Cheep { id message } ... on DeletedCheep { id cheepId } }
}`;

const PAGE = 'pageInfo { hasNextPage hasPreviousPage startCursor endCursor }';
const cards = `edges { cursor node { id } } nodes { ...CardFields } ${PAGE}`;
const people = `edges { cursor node { id } } nodes { id username followersCount isFollowedByViewer } totalCount ${PAGE}`;
const happenings = `edges { cursor node { position } } nodes { position event schemaVersion at changes { field from to } } ${PAGE}`;
const told = `edges { cursor node { id } }
  nodes {
    __typename id at read
    ... on FollowNotification { follower { id username } }
    ... on ReplyNotification { cheep { id message } }
    ... on MentionNotification { cheep { id message } }
    ... on LikeNotification { cheep { id message } author { id username } }
  }
  unreadCount ${PAGE}`;

const ofAuthor = (field: string, fields: string) =>
  `query ($id: ID!, $first: Int, $after: String) { owner: author(id: $id) { list: ${field}(first: $first, after: $after) { ${fields} } } }`;
const ofCheep = (field: string, fields: string) =>
  `query ($id: ID!, $first: Int, $after: String) { owner: cheep(id: $id) { list: ${field}(first: $first, after: $after) { ${fields} } } }`;

/** A page of each list: variables `id` (whose), `first`, `after`; the connection is `list`, or `owner.list`. */
export const PAGES = {
  followers: ofAuthor('followers', people),
  following: ofAuthor('following', people),
  cheeps: `${ofAuthor('cheeps', cards)} ${CARD_FIELDS}`,
  authorHistory: ofAuthor('history', happenings),
  replies: `${ofCheep('replies', cards)} ${CARD_FIELDS}`,
  cheepHistory: ofCheep('history', happenings),
  timeline: `query ($id: ID, $first: Int, $after: String) {
    list: timeline(authorId: $id, first: $first, after: $after) { ${cards} }
  } ${CARD_FIELDS}`,
  search: `query ($id: String!, $first: Int, $after: String) { list: searchAuthors(prefix: $id, first: $first, after: $after) { ${people} } }`,
  notifications: `query ($first: Int, $after: String) { list: notifications(first: $first, after: $after) { ${told} } }`,
};

export const AUTHOR = `query ($id: ID!, $username: String!) {
  author(id: $id) { ...AuthorFields }
  authorByUsername(username: $username) { ...AuthorFields }
  node(id: $id) { __typename id }
  viewer { ...AuthorFields }
} ${AUTHOR_FIELDS}`;

export const CHEEP = `query ($id: ID!, $deletedId: ID!) {
  cheep(id: $id) { ...CheepFields }
  node(id: $id) { __typename id }
  deleted: node(id: $deletedId) { __typename id ... on DeletedCheep { cheepId } }
} ${CHEEP_FIELDS}`;

export const NODES = `query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }`;

export const UNKNOWN = `query ($id: ID!, $username: String!) {
  author(id: $id) { id }
  authorByUsername(username: $username) { id }
  cheep(id: $id) { id }
  node(id: $id) { id }
  command(id: $id) { id }
  timeline(authorId: $id) { nodes { id } }
}`;

export const COMMAND = `query ($id: ID!) { command(id: $id) { id name status settledAt userErrors { code field } } }`;

export const FUNNEL = `query ($from: DateTime!, $to: DateTime!) {
  funnel(from: $from, to: $to) { signedUp steps { name reached medianSeconds p90Seconds } asOf }
}`;

export const LOG_IN = `mutation ($input: LogInInput!) {
  logIn(input: $input) { author { id username email } session { accessToken } userErrors { code field } }
}`;

/** What each mutation is called, and what it is about. */
const THINGS = {
  SignUp: 'author { ...AuthorFields } session { accessToken }',
  UpdateProfile: 'author { ...AuthorFields }',
  ChangeUsername: 'author { ...AuthorFields }',
  ChangeEmail: 'author { ...AuthorFields }',
  FollowAuthor: 'author { ...AuthorFields }',
  UnfollowAuthor: 'author { ...AuthorFields }',
  PostCheep: 'cheep { ...CheepFields }',
  EditCheep: 'cheep { ...CheepFields }',
  DeleteCheep: 'cheepId',
  LikeCheep: 'cheep { ...CheepFields }',
  UnlikeCheep: 'cheep { ...CheepFields }',
  MarkNotificationsRead: 'unreadCount',
};
export type MutationName = keyof typeof THINGS;

/** The payload is `payload`. */
export function mutation(name: MutationName): string {
  const field = name[0]!.toLowerCase() + name.slice(1);
  const fragments = THINGS[name].includes('AuthorFields') ? AUTHOR_FIELDS : THINGS[name].includes('CheepFields') ? CHEEP_FIELDS : '';

  return `mutation ($input: ${name}Input!) {
    payload: ${field}(input: $input) { commandId status consistencyToken userErrors { code field } ${THINGS[name]} }
  } ${fragments}`;
}

/** The name under which an answer says of what type something is that has an id. */
const TYPE = '_type';

/** The same document, which also asks for the type of everything. */
const withTypes = memoized((query: string) =>
  print(
    visit(parse(query), {
      SelectionSet: (set) => ({
        ...set,
        selections: [
          ...set.selections,
          { kind: Kind.FIELD, alias: { kind: Kind.NAME, value: TYPE }, name: { kind: Kind.NAME, value: '__typename' } },
        ],
      }),
    }),
  ),
);

function memoized<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();

  return (text) => {
    const value = known.get(text) ?? make(text);
    known.set(text, value);

    return value;
  };
}

/** As many tokens as one request may bring. */
const MAX_TOKENS = 16;

export class Face {
  /** Of the latest writes, each as it was given: whoever reads brings them all. */
  private tokens: string[] = [];
  private readonly urls: string[];
  private asked = 0;
  /** Of what type everything is, by its id: clients that keep a cache by id take what has one id for one thing. */
  private readonly types = new Map<string, string>();

  constructor(system: System) {
    this.urls = system.gateways.map((gateway) => system.urlOf(gateway));
  }

  /** From now on, what is read is no older than this. */
  remember(token: string): void {
    this.tokens = [token, ...this.tokens].slice(0, MAX_TOKENS);
  }

  /** The gateways take turns. `accessToken` says who asks; null for nobody. */
  async ask(query: string, variables: Record<string, unknown>, accessToken: string | null): Promise<Answer> {
    const response = await fetch(this.urls[this.asked++ % this.urls.length]!, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(accessToken ? { authorization: `Bearer ${accessToken}` } : {}),
        ...(this.tokens.length > 0 ? { 'x-cheeper-consistency': this.tokens.join(',') } : {}),
      },
      body: JSON.stringify({ query: withTypes(query), variables }),
    });
    const { data, errors, extensions } = (await response.json()) as {
      data?: Answer['data'];
      errors?: Answer['errors'];
      extensions?: { consistency?: { position: string } };
    };

    return {
      data: data ? (this.learnTypes(data) as Answer['data']) : null,
      errors: errors ?? [],
      position: Number(extensions?.consistency?.position ?? NaN),
    };
  }

  /** The data, of what must be answered without an error. */
  async read<Data>(query: string, variables: Record<string, unknown>, accessToken: string | null): Promise<Data> {
    const { data, errors } = await this.ask(query, variables, accessToken);
    expect({ query, variables, errors }).toEqual({ query, variables, errors: [] });

    return data as Data;
  }

  /** Whatever has the same id has the same type. Returns what was asked for. */
  private learnTypes(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.learnTypes(item));
    if (typeof value !== 'object' || value === null) return value;
    const { [TYPE]: type, ...fields } = value as Record<string, unknown>;
    if (typeof fields['id'] === 'string') {
      const known = this.types.get(fields['id']) ?? type;
      expect({ id: fields['id'], type }).toEqual({ id: fields['id'], type: known });
      this.types.set(fields['id'], known as string);
    }

    return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, this.learnTypes(field)]));
  }
}
