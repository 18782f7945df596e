/**
 * What the outside may know of what happened: a public event for each kind of journal entry, or a reason why there is none.
 * Public events are a contract of their own, as CloudEvents 1.0 (https://cloudevents.io): however the journal changes its
 * form, theirs stays, or gets a new version. They say nothing that the public API does not show to everybody.
 */
import { z } from 'zod';
import type { EventOf, EventType, JournalEntry } from '../../shared/messages/event.js';

// Shapes, not rules: what was right when it was written must never be stopped by a rule of today.
const id = z.guid();
const text = z.string();
const line = z.string().nullable();
const profile = {
  name: line,
  biography: line,
  location: line,
  website: line,
  birthDate: z.iso.date().nullable(),
};
const mentions = z
  .array(z.object({ start: z.int().min(0), end: z.int().min(0), authorId: id }))
  .describe('Who is named with @, where in the message: UTF-16 code units, `end` exclusive; the @ is inside.');
const threadId = id.describe('The cheep that the thread began with; its own id when it answers nothing.');
const inReplyTo = id.nullable().describe('The cheep that it answers.');

export interface PublicEvent<Type extends EventType = EventType> {
  /** Part of the CloudEvent's `type`, and of the subject that it is published to. */
  name: string;
  /** Raised when what was right before would not be any more; a field that is added leaves it as it is. */
  version: number;
  description: string;
  data: z.ZodObject;
  /** The CloudEvent's `subject`: the id of whom or what it is about. */
  subject(event: EventOf<Type>): string;
  /** Of these, what `data` does not name is left out. */
  dataOf(event: EventOf<Type>): object;
}

export interface Internal {
  internal: string;
}

const published = <Type extends EventType, Data extends z.ZodObject>(
  _type: Type,
  event: PublicEvent<Type> & { data: Data; dataOf(event: EventOf<Type>): z.input<Data> },
): PublicEvent<Type> => event;
/** Not for the outside. @param why for whoever wonders */
const internal = (why: string): Internal => ({ internal: why });

export const publicEvents = {
  AuthorSignedUp: published('AuthorSignedUp', {
    name: 'author.signed-up',
    version: 1,
    description: 'There is a new author.',
    data: z.object({ authorId: id, username: text, ...profile }),
    subject: ({ authorId }) => authorId,
    dataOf: (event) => event,
  }),
  AuthorProfileUpdated: published('AuthorProfileUpdated', {
    name: 'author.profile-changed',
    version: 1,
    description: 'An author says something else about itself. Fields that are absent are as they were.',
    data: z.object({ authorId: id, ...z.object(profile).partial().shape }),
    subject: ({ authorId }) => authorId,
    dataOf: ({ authorId, changes }) => ({
      authorId,
      ...Object.fromEntries(Object.entries(changes).map(([field, { to }]) => [field, to])),
    }),
  }),
  AuthorUsernameChanged: published('AuthorUsernameChanged', {
    name: 'author.username-changed',
    version: 1,
    description: 'An author has another username; the old one is free.',
    data: z.object({ authorId: id, username: text }),
    subject: ({ authorId }) => authorId,
    dataOf: ({ authorId, changes }) => ({ authorId, username: changes.username.to }),
  }),
  AuthorEmailChanged: internal('An e-mail address is nobody’s business but its owner’s.'),
  AuthorFollowed: published('AuthorFollowed', {
    name: 'author.followed',
    version: 1,
    description: 'An author, the subject, has a new follower.',
    data: z.object({ followerId: id, followedId: id }),
    subject: ({ followedId }) => followedId,
    dataOf: (event) => event,
  }),
  AuthorUnfollowed: published('AuthorUnfollowed', {
    name: 'author.unfollowed',
    version: 1,
    description: 'An author, the subject, has lost a follower.',
    data: z.object({ followerId: id, followedId: id }),
    subject: ({ followedId }) => followedId,
    dataOf: (event) => event,
  }),
  CheepPosted: published('CheepPosted', {
    name: 'cheep.posted',
    version: 1,
    description: 'There is a new cheep.',
    data: z.object({
      cheepId: id,
      authorId: id,
      message: text,
      mentions,
      inReplyTo,
      inReplyToAuthorId: id.nullable().describe('Who wrote what it answers; null also where that was not yet written down.'),
      threadId,
    }),
    subject: ({ cheepId }) => cheepId,
    dataOf: (event) => event,
  }),
  CheepEdited: published('CheepEdited', {
    name: 'cheep.edited',
    version: 1,
    description: 'A cheep has another message.',
    data: z.object({ cheepId: id, authorId: id, message: text, mentions, threadId }),
    subject: ({ cheepId }) => cheepId,
    dataOf: ({ changes, ...event }) => ({ ...event, message: changes.message.to }),
  }),
  CheepDeleted: published('CheepDeleted', {
    name: 'cheep.deleted',
    version: 1,
    description: 'A cheep is gone for good. Whoever has kept its message should delete it too.',
    data: z.object({ cheepId: id, authorId: id, inReplyTo, threadId }),
    subject: ({ cheepId }) => cheepId,
    dataOf: (event) => event,
  }),
  CheepLiked: published('CheepLiked', {
    name: 'cheep.liked',
    version: 1,
    description: 'An author likes a cheep.',
    data: z.object({ likerId: id, cheepId: id, authorId: id.describe('Who wrote the cheep.') }),
    subject: ({ cheepId }) => cheepId,
    dataOf: (event) => event,
  }),
  CheepUnliked: published('CheepUnliked', {
    name: 'cheep.unliked',
    version: 1,
    description: 'An author no longer likes a cheep.',
    data: z.object({ likerId: id, cheepId: id, authorId: id.describe('Who wrote the cheep.') }),
    subject: ({ cheepId }) => cheepId,
    dataOf: (event) => event,
  }),
  AuthorNotified: internal('What an author is told of is between us and the author.'),
  NotificationsRead: internal('What an author has read is between us and the author.'),
  CommandRefused: internal('Nothing happened.'),
  CommandHadNoEffect: internal('Nothing happened.'),
} satisfies { [Type in EventType]: PublicEvent<Type> | Internal };

/** Those that are published, by name. */
export const publicEventList = Object.values<Pick<PublicEvent, 'name' | 'version' | 'description' | 'data'> | Internal>(
  publicEvents,
).filter((event) => 'name' in event);

/** The identifier of the schema of an event's data; the schema itself is in docs/public-events/. */
export const schemaId = ({ name, version }: Pick<PublicEvent, 'name' | 'version'>): string =>
  `urn:cheeper:public-event:${name}:v${version}`;
export const cloudEventType = ({ name, version }: Pick<PublicEvent, 'name' | 'version'>): string => `org.cheeper.${name}.v${version}`;

/** CloudEvents 1.0, JSON format, in structured mode. */
export interface CloudEvent {
  specversion: '1.0';
  /** The journal entry's id: the same event has the same, whenever it is published. */
  id: string;
  source: string;
  type: string;
  subject: string;
  /** RFC 3339, UTC, milliseconds. */
  time: string;
  datacontenttype: 'application/json';
  dataschema: string;
  /** The entry's position, in 16 digits, so that its order is that of text too, as CloudEvents' sequence extension wants it. */
  sequence: string;
  data: Record<string, unknown>;
}

export interface PublicMessage {
  /** `author.signed-up` */
  name: string;
  event: CloudEvent;
}

/**
 * What the outside hears of a journal entry: the same of the same entry. Null when it is none of the outside's business.
 * @param source says whose events these are; with `id` it is an event's identity
 * @throws ZodError when the entry has not what the public event must say
 */
export function toPublicMessage(entry: JournalEntry, source: string): PublicMessage | null {
  const definition = publicEvents[entry.event.type] as PublicEvent | Internal;
  if ('internal' in definition) return null;
  const event = entry.event as EventOf<EventType>;

  return {
    name: definition.name,
    event: {
      specversion: '1.0',
      id: entry.entryId,
      source,
      type: cloudEventType(definition),
      subject: definition.subject(event),
      time: entry.at,
      datacontenttype: 'application/json',
      dataschema: schemaId(definition),
      sequence: String(entry.position).padStart(16, '0'),
      // Only what the schema names comes through, whatever the entry holds.
      data: definition.data.parse(definition.dataOf(event)),
    },
  };
}
