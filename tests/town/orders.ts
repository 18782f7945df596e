/** From what somebody wants to do, to what is sent, what it means to the model, and whether the answer is right. */
import { expect } from '@jest/globals';
import fc from 'fast-check';
import { newId } from '../../shared/ids.js';
import { eventually, PASSWORD } from '../system.js';
import { COMMAND, mutation, type Answer, type MutationName } from './face.js';
import { authorView, cheepView, notificationsArrive, type Viewer } from './looks.js';
import { PROFILE_FIELDS, type Command, type Profile, type Refusal } from './model.js';
import * as values from './values.js';
import type { Typed } from './values.js';
import type { World } from './world.js';

// ---- What somebody wants

type NameChoice = { word: number } | { of: number; isLoud: boolean } | { wrong: number };
type PostChoice = { pieces: values.Piece[] } | { wrong: number };
type ProfileChoice = { [Field in keyof Profile]?: Typed<string | null> };

/** Numbers choose among what is there when it is done. */
type Wish =
  | { wants: 'signUp'; username: NameChoice; email: NameChoice; wrongPassword: number | null; profile: ProfileChoice; hasId: boolean }
  | { wants: 'updateProfile'; profile: ProfileChoice }
  | { wants: 'changeUsername'; username: NameChoice }
  | { wants: 'changeEmail'; email: NameChoice }
  | { wants: 'follow' | 'unfollow'; whom: number }
  | { wants: 'post'; message: PostChoice; inReplyTo: number | null; hasId: boolean }
  | { wants: 'edit'; cheep: number; message: PostChoice | 'the same' }
  | { wants: 'delete' | 'like' | 'unlike'; cheep: number; isOwn: boolean }
  | { wants: 'markRead'; notice: number };

export type Act = Wish & {
  who: number;
  /** Under an id of its own, one that somebody else has used, or none. */
  commandId: 'own' | 'borrowed' | null;
  waitFor: 'ACCEPTED' | 'COMMITTED' | 'PROJECTED' | null;
  /** Ids in capitals. */
  isLoud: boolean;
  /** Sent twice at the same time. */
  isTwice: boolean;
};

const some = fc.nat(10_000);
const rarely = (n: number) => fc.integer({ min: 0, max: n - 1 }).map((turn) => turn === 0);
const name: fc.Arbitrary<NameChoice> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ word: some }) },
  { weight: 3, arbitrary: fc.record({ of: some, isLoud: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ wrong: some }) },
);
const message: fc.Arbitrary<PostChoice> = fc.oneof(
  { weight: 15, arbitrary: fc.record({ pieces: values.pieces }) },
  { weight: 1, arbitrary: fc.record({ wrong: some }) },
);
const wish: fc.Arbitrary<Wish> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      wants: fc.constant('signUp'),
      username: name,
      email: name,
      wrongPassword: fc.option(some, { freq: 8 }).map((n) => (n === null ? null : n)),
      profile: values.profile,
      hasId: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ wants: fc.constant('updateProfile'), profile: values.profile }) },
  { weight: 5, arbitrary: fc.record({ wants: fc.constant('changeUsername'), username: name }) },
  { weight: 3, arbitrary: fc.record({ wants: fc.constant('changeEmail'), email: name }) },
  { weight: 10, arbitrary: fc.record({ wants: fc.constant('follow'), whom: some }) },
  { weight: 5, arbitrary: fc.record({ wants: fc.constant('unfollow'), whom: some }) },
  {
    weight: 20,
    arbitrary: fc.record({ wants: fc.constant('post'), message, inReplyTo: fc.option(some, { freq: 2 }), hasId: fc.boolean() }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      wants: fc.constant('edit'),
      cheep: some,
      message: fc.oneof({ weight: 6, arbitrary: message }, { weight: 1, arbitrary: fc.constant('the same' as const) }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ wants: fc.constant('delete'), cheep: some, isOwn: rarely(4).map((isOther) => !isOther) }) },
  { weight: 10, arbitrary: fc.record({ wants: fc.constant('like'), cheep: some, isOwn: rarely(5) }) },
  { weight: 5, arbitrary: fc.record({ wants: fc.constant('unlike'), cheep: some, isOwn: rarely(5) }) },
  { weight: 5, arbitrary: fc.record({ wants: fc.constant('markRead'), notice: some }) },
);

/** Anything that anybody may do. */
export const act: fc.Arbitrary<Act> = fc
  .tuple(
    wish,
    fc.record({
      who: some,
      commandId: fc.constantFrom('own' as const, null, null, 'borrowed' as const),
      waitFor: fc.constantFrom(null, null, null, 'COMMITTED' as const, 'PROJECTED' as const, 'ACCEPTED' as const),
      isLoud: rarely(8),
      isTwice: rarely(8),
    }),
  )
  .map(([wanted, how]) => ({ ...wanted, ...how }));

// ---- What is sent

export interface Order {
  name: MutationName;
  /** Who sends it; null for nobody. */
  senderId: Viewer;
  input: Record<string, unknown> & { commandId?: string; waitFor?: string };
  /** What is refused at the door. */
  faults: Refusal[];
  /** What it means, when the new thing (if it makes one) gets this id. */
  command: (newId: string) => Command;
  isTwice: boolean;
}

/** @param announced cheeps that are being posted at the same time, under these ids */
export function orderOf(world: World, wanted: Act, announced: string[] = []): Order {
  const { people, town } = world;
  const loud = (id: string) => (wanted.isLoud ? id.toUpperCase() : id);
  const faults: Refusal[] = [];
  const check = <T>(field: string, { fault, kept }: Typed<T>): T => {
    if (fault) faults.push({ code: fault, field: [field] });

    return kept;
  };
  const nobody = wanted.who % 40 === 39;
  const senderId = wanted.wants === 'signUp' || nobody ? null : people[wanted.who % people.length]!;
  const authorId = senderId ?? '';
  const someone = (n: number) => (n % 15 === 14 ? world.unknownId : people[n % people.length]!);
  const cheeps = [...town.cheeps.keys(), ...announced];
  // Mostly one of the newest: there, things happen to the same cheep.
  const someCheep = (n: number, isOwn = false) => {
    const among = isOwn ? cheeps.filter((id) => town.cheeps.get(id)?.authorId === senderId) : cheeps;
    if (n % 20 === 19 || among.length === 0) return world.unknownId;

    return among.at(-1 - ((n >> 3) % (n % 3 === 0 ? among.length : Math.min(among.length, 6))))!;
  };
  const typed = (choice: NameChoice, wrong: Typed[], nameOf: (id: string) => string, word: (n: number) => string): Typed => {
    if ('wrong' in choice) return wrong[choice.wrong % wrong.length]!;
    const sent = 'word' in choice ? word(choice.word) : nameOf(people[choice.of % people.length]!);
    const cased = 'of' in choice && choice.isLoud ? sent.toUpperCase() : sent;

    return { sent: cased, kept: cased, fault: null };
  };
  const username = (choice: NameChoice) =>
    typed(
      choice,
      values.WRONG_USERNAMES,
      (id) => town.author(id).username,
      (n) => world.wordName(n),
    );
  const email = (choice: NameChoice) => {
    const chosen = typed(
      choice,
      values.WRONG_EMAILS,
      (id) => town.author(id).email,
      (n) => `${world.wordName(n)}@Example.org`,
    );

    return { ...chosen, kept: chosen.kept.toLowerCase() };
  };
  const text = (choice: PostChoice): Typed => {
    if ('wrong' in choice) return values.WRONG_MESSAGES[choice.wrong % values.WRONG_MESSAGES.length]!;

    return values.written(choice.pieces, (piece) => {
      if ('name' in piece) return town.author(people[piece.name % people.length]!).username;
      return world.formerNames[piece.formerName % world.formerNames.length] ?? 'nobody_yet';
    });
  };
  const fields = (choice: ProfileChoice) => {
    const named = PROFILE_FIELDS.filter((field) => choice[field]);

    return {
      sent: Object.fromEntries(named.map((field) => [field, choice[field]!.sent])),
      kept: Object.fromEntries(named.map((field) => [field, check(field, choice[field]!)])) as Partial<Profile>,
    };
  };

  const meant = ((): Pick<Order, 'name' | 'input' | 'command'> => {
    switch (wanted.wants) {
      case 'signUp': {
        const [user, address] = [username(wanted.username), email(wanted.email)];
        const password: Typed =
          wanted.wrongPassword === null
            ? { sent: `${PASSWORD} ${user.sent}`, kept: `${PASSWORD} ${user.sent}`, fault: null }
            : values.WRONG_PASSWORDS[wanted.wrongPassword % values.WRONG_PASSWORDS.length]!;
        check('username', user);
        check('email', address);
        check('password', password);
        const { sent, kept } = fields(wanted.profile);
        const profile = { name: null, biography: null, location: null, website: null, birthDate: null, ...kept };
        // Now and then an id that is somebody's already.
        const ownId = wanted.who % 10 === 9 ? someone(wanted.who) : newId();

        return {
          name: 'SignUp',
          input: {
            username: user.sent,
            email: address.sent,
            password: password.sent,
            ...sent,
            ...(wanted.hasId ? { authorId: loud(ownId) } : {}),
          },
          command: (id) => ({
            name: 'SignUp',
            authorId: wanted.hasId ? ownId : id,
            username: user.kept,
            email: address.kept,
            password: password.kept,
            profile,
          }),
        };
      }
      case 'updateProfile': {
        const { sent, kept } = fields(wanted.profile);

        return { name: 'UpdateProfile', input: sent, command: () => ({ name: 'UpdateProfile', authorId, fields: kept }) };
      }
      case 'changeUsername': {
        const chosen = username(wanted.username);
        check('username', chosen);

        return {
          name: 'ChangeUsername',
          input: { username: chosen.sent },
          command: () => ({ name: 'ChangeUsername', authorId, username: chosen.kept }),
        };
      }
      case 'changeEmail': {
        const chosen = email(wanted.email);
        check('email', chosen);

        return {
          name: 'ChangeEmail',
          input: { email: chosen.sent },
          command: () => ({ name: 'ChangeEmail', authorId, email: chosen.kept }),
        };
      }
      case 'follow':
      case 'unfollow': {
        const followedId = someone(wanted.whom);
        const name = wanted.wants === 'follow' ? 'FollowAuthor' : 'UnfollowAuthor';

        return { name, input: { authorId: loud(followedId) }, command: () => ({ name, authorId, followedId }) };
      }
      case 'post': {
        const chosen = text(wanted.message);
        check('message', chosen);
        const inReplyTo = wanted.inReplyTo === null ? null : someCheep(wanted.inReplyTo);
        // Now and then an id that a cheep has already.
        const ownId = wanted.who % 12 === 11 && cheeps.length > 0 && inReplyTo === null ? someCheep(wanted.who) : newId();
        if (wanted.hasId && ownId !== world.unknownId) announced.push(ownId);
        const cheepId = wanted.hasId && ownId !== world.unknownId ? ownId : null;

        return {
          name: 'PostCheep',
          input: {
            message: chosen.sent,
            ...(inReplyTo ? { inReplyTo: loud(inReplyTo) } : {}),
            ...(cheepId ? { cheepId: loud(cheepId) } : {}),
          },
          command: (id) => ({ name: 'PostCheep', authorId, cheepId: cheepId ?? id, message: chosen.kept, inReplyTo }),
        };
      }
      case 'edit': {
        const cheepId = someCheep(wanted.cheep, wanted.cheep % 4 !== 0);
        const current = town.live(cheepId)?.message ?? '0';
        // The same message, composed in another way, is the same message.
        const chosen: Typed =
          wanted.message === 'the same' ? { sent: current.normalize('NFD'), kept: current, fault: null } : text(wanted.message);
        check('message', chosen);

        return {
          name: 'EditCheep',
          input: { cheepId: loud(cheepId), message: chosen.sent },
          command: () => ({ name: 'EditCheep', authorId, cheepId, message: chosen.kept }),
        };
      }
      case 'delete':
      case 'like':
      case 'unlike': {
        const cheepId = someCheep(wanted.cheep, wanted.isOwn);
        const name = ({ delete: 'DeleteCheep', like: 'LikeCheep', unlike: 'UnlikeCheep' } as const)[wanted.wants];

        return { name, input: { cheepId: loud(cheepId) }, command: () => ({ name, authorId, cheepId }) };
      }
      case 'markRead': {
        const known = [...town.noticeIds].filter(([, { recipientId }]) => recipientId === senderId || wanted.notice % 7 === 6);
        const upTo = known[wanted.notice % known.length]?.[0] ?? world.unknownId;

        return {
          name: 'MarkNotificationsRead',
          input: { upTo: loud(upTo) },
          command: () => ({ name: 'MarkNotificationsRead', authorId, upTo }),
        };
      }
    }
  })();

  const { waitFor } = wanted;
  // One that was refused at the door is free, and so as good as new.
  const free = world.freeIds.findIndex((id) => id.senderId === senderId);
  const borrowed = world.sent.findLast(({ order }) => order.senderId !== senderId && order.name !== 'SignUp')?.commandId;
  const given = { own: newId(), borrowed: meant.name === 'SignUp' ? undefined : borrowed, none: undefined }[wanted.commandId ?? 'none'];
  const isUsed = given !== undefined && world.usedIds.has(`${senderId}/${given}`);
  const commandId = free >= 0 ? world.freeIds.splice(free, 1)[0]!.commandId : isUsed ? undefined : given;
  world.usedIds.add(`${senderId}/${commandId}`);

  return {
    ...meant,
    senderId,
    faults,
    input: { ...meant.input, ...(commandId ? { commandId: loud(commandId) } : {}), ...(waitFor ? { waitFor } : {}) },
    isTwice: wanted.isTwice && commandId !== undefined,
  };
}

// ---- What comes of it

interface Payload {
  commandId: string | null;
  status: string;
  consistencyToken: string | null;
  userErrors: Refusal[];
  author?: { id: string } | null;
  cheep?: { id: string } | null;
  cheepId?: string | null;
  unreadCount?: number | null;
  session?: { accessToken: string } | null;
}

/** A command that was settled, with its receipt. */
export interface Sent {
  order: Order;
  commandId: string;
  position: number;
  receipt: Pick<Payload, 'commandId' | 'status' | 'consistencyToken' | 'userErrors'>;
}

/**
 * Refusals for what somebody else has or has not done, which no lock holds: among commands under way at the same time, they may
 * tell how it was when the command's transaction began, a little before its position.
 */
const MAY_BE_OLD = new Set(['USERNAME_TAKEN', 'EMAIL_TAKEN', 'AUTHOR_NOT_FOUND', 'CHEEP_NOT_FOUND']);
const isEqual = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** Sends them all at once. The model runs what became a command, in the order of the positions, and every answer must agree. */
export async function settle(world: World, orders: Order[]): Promise<void> {
  const { face, town } = world;
  const isAlone = orders.length === 1;
  for (const order of orders) {
    if (order.name === 'MarkNotificationsRead' && order.senderId && isAlone) await notificationsArrive(world, order.senderId);
  }
  const answers = await Promise.all(
    orders
      .flatMap((order) => (order.isTwice ? [order, order] : [order]))
      .map(async (order) => ({ order, answer: await send(world, order) })),
  );
  const earlier = isAlone ? [] : [town.clone()];
  const settled = new Map<Order, { payload: Payload; position: number }>();
  for (const { order, answer } of answers) {
    if (order.senderId === null && order.name !== 'SignUp') {
      expect({ order, answer }).toMatchObject({ order, answer: { data: null, errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] } });
      continue;
    }
    if (order.faults.length > 0) {
      refusedAtTheDoor(order, payloadOf(order, answer));
      const { senderId, input } = order;
      // Once, also when it was sent twice.
      const isKnown = world.freeIds.some(({ commandId }) => commandId === input.commandId);
      if (input.commandId && senderId && !isKnown) world.freeIds.push({ senderId, commandId: input.commandId });
      continue;
    }
    const { payload, position } = await outcome(world, order, answer);
    const twin = settled.get(order);
    if (twin)
      expect({ order, receipt: receiptOf(payload), position }).toEqual({
        order,
        receipt: receiptOf(twin.payload),
        position: twin.position,
      });
    else settled.set(order, { payload, position });
  }

  for (const [order, { payload, position }] of [...settled].sort(([, a], [, b]) => a.position - b.position)) {
    expect(position).toBeGreaterThan(world.position);
    world.position = position;
    face.remember(payload.consistencyToken!);
    const isNew = payload.status !== 'REJECTED' && order.name === 'SignUp';
    if (isNew) world.tokens.set(payload.author!.id, payload.session!.accessToken);
    const senderId = isNew ? payload.author!.id : order.senderId;
    const at = senderId ? await whatCameOf(world, senderId, order, payload) : '';
    const command = order.command(payload.author?.id ?? payload.cheep?.id ?? newId());
    const name = command.name === 'ChangeUsername' ? town.author(command.authorId).username : null;

    const said = payload.userErrors[0];
    const isOfThen = isAlone || !said || !MAY_BE_OLD.has(said.code) || isEqual(town.clone().run(command, { position, at }), said);
    const then = isOfThen ? town : earlier.find((moment) => isEqual(moment.clone().run(command, { position, at }), said));
    const refusal = (then ?? town).run(command, { position, at });
    if (!isAlone) earlier.push(town.clone());

    expect({ order, position, receipt: receiptOf(payload) }).toEqual({
      order,
      position,
      receipt: {
        commandId: payload.commandId,
        status: refusal ? 'REJECTED' : 'COMMITTED',
        consistencyToken: expect.any(String),
        userErrors: refusal ? [refusal] : [],
      },
    });
    if (name !== null && !refusal) world.formerNames.push(name);
    world.usedIds.add(`${senderId}/${payload.commandId}`);
    world.sent.push({ order, commandId: payload.commandId!, position, receipt: receiptOf(payload) });
    if (isAlone) expect({ order, things: thingsOf(payload) }).toEqual({ order, things: thingsExpected(world, command, refusal !== null) });
  }
}

/** The same again: the same answer, and nothing happens. Another under its id: COMMAND_ID_REUSED. */
export async function sendAgain(world: World, { order, commandId, position, receipt }: Sent, how: 'the same' | 'another'): Promise<void> {
  const { input } = order;
  const signedUp =
    receipt.status === 'REJECTED' ? undefined : [...world.town.authors.values()].find((author) => author.history[0]!.position === position);
  // Who has signed up is the sender of that sign-up.
  const senderId = order.senderId ?? signedUp?.id ?? null;
  if (how === 'another') {
    if (senderId === null) return;
    const again = { ...order, name: 'PostCheep' as const, senderId, input: { message: `another under ${commandId}`, commandId } };
    const payload = payloadOf(again, await send(world, again));
    expect({ again, payload }).toMatchObject({
      again,
      payload: { commandId, status: 'REJECTED', userErrors: [{ code: 'COMMAND_ID_REUSED', field: ['commandId'] }], cheep: null },
    });

    return;
  }
  if (order.name === 'MarkNotificationsRead') await notificationsArrive(world, order.senderId!);
  const again = { ...order, input: { ...input, commandId, waitFor: 'COMMITTED' } };
  const answer = await send(world, again);
  const payload = payloadOf(again, answer);
  expect({ again, receipt: receiptOf(payload), position: answer.position }).toEqual({ again, receipt, position });
  const command = order.command(signedUp?.id ?? [...world.town.cheeps.values()].find((cheep) => cheep.position === position)?.id ?? '');
  expect({ again, things: thingsOf(payload) }).toEqual({ again, things: thingsExpected(world, command, receipt.status === 'REJECTED') });
}

const send = ({ face, tokens }: World, { name, senderId, input }: Order): Promise<Answer> =>
  face.ask(mutation(name), { input }, tokens.get(senderId ?? '') ?? null);

function payloadOf(order: Order, { data, errors }: Answer): Payload {
  expect({ order, errors }).toEqual({ order, errors: [] });

  return data!['payload'] as Payload;
}

/** COMMITTED and PROJECTED are one outcome, waited for in two ways. */
const receiptOf = ({ commandId, status, consistencyToken, userErrors }: Payload): Sent['receipt'] => ({
  commandId,
  status: status === 'PROJECTED' ? 'COMMITTED' : status,
  consistencyToken,
  userErrors,
});

const thingsOf = ({ commandId: _, status: __, consistencyToken: ___, userErrors: ____, ...things }: Payload) => things;

function refusedAtTheDoor(order: Order, payload: Payload): void {
  const { userErrors, ...rest } = receiptOf(payload);
  const sorted = (faults: Refusal[]) => faults.map(({ code, field }) => `${field?.join('.')}: ${code}`).sort();
  expect({ order, rest, faults: sorted(userErrors) }).toEqual({
    order,
    rest: { commandId: null, status: 'REJECTED', consistencyToken: null },
    faults: sorted(order.faults),
  });
}

/** What was only accepted is asked for again until it is settled: a retry is how a client finds out. */
async function outcome(world: World, order: Order, first: Answer): Promise<{ payload: Payload; position: number }> {
  const payload = payloadOf(order, first);
  expect({ order, commandId: payload.commandId }).toEqual({
    order,
    commandId: order.input.commandId?.toLowerCase() ?? expect.any(String),
  });
  if (payload.status !== 'ACCEPTED') {
    const wanted = order.input.waitFor === 'PROJECTED' ? ['PROJECTED', 'REJECTED'] : ['COMMITTED', 'REJECTED'];
    expect({ order, status: payload.status }).toEqual({ order, status: wanted.find((status) => status === payload.status) });

    return { payload, position: first.position };
  }
  expect(order.input.waitFor).toBe('ACCEPTED');
  expect({ order, things: thingsOf(payload) }).toEqual({ order, things: thingsOf({ ...nothing(order), commandId: '' } as Payload) });
  const again = { ...order, input: { ...order.input, commandId: payload.commandId!, waitFor: 'COMMITTED' } };

  return eventually(
    async () => {
      const answer = await send(world, again);
      const later = payloadOf(again, answer);

      return later.status === 'ACCEPTED' ? null : { payload: later, position: answer.position };
    },
    `${order.name} is settled`,
    20_000,
  );
}

/** Compares `command(id)`, as its sender sees it and as nobody else does. Gives the moment at which it was settled. */
async function whatCameOf({ face, tokens, people, usedIds }: World, senderId: string, { name }: Order, payload: Payload): Promise<string> {
  const { commandId: id } = payload;
  const { status, userErrors } = receiptOf(payload);
  const { command } = await face.read<{ command: { settledAt: string } | null }>(COMMAND, { id }, tokens.get(senderId)!);
  expect(command).toEqual({ id, name, status, settledAt: expect.any(String), userErrors });
  const other = people[payload.consistencyToken!.length % people.length];
  if (other && other !== senderId && !usedIds.has(`${other}/${id}`)) {
    expect(await face.read(COMMAND, { id }, tokens.get(other)!)).toEqual({ command: null });
  }

  return command!.settledAt;
}

/** The things in a payload that has none. */
function nothing({ name }: Order): Partial<Payload> {
  switch (name) {
    case 'SignUp':
      return { author: null, session: null };
    case 'DeleteCheep':
      return { cheepId: null };
    case 'MarkNotificationsRead':
      return { unreadCount: null };
    case 'PostCheep':
    case 'EditCheep':
    case 'LikeCheep':
    case 'UnlikeCheep':
      return { cheep: null };
    default:
      return { author: null };
  }
}

function thingsExpected({ town }: World, command: Command, isRefused: boolean): object {
  if (isRefused) return nothing({ name: command.name } as Order);
  const { authorId } = command;
  const own = () => authorView(town, town.author(authorId), authorId);
  switch (command.name) {
    case 'SignUp':
      return { author: own(), session: { accessToken: expect.any(String) } };
    case 'UpdateProfile':
    case 'ChangeUsername':
    case 'ChangeEmail':
      return { author: own() };
    case 'FollowAuthor':
    case 'UnfollowAuthor':
      return { author: authorView(town, town.author(command.followedId), authorId) };
    case 'DeleteCheep':
      return { cheepId: command.cheepId };
    case 'MarkNotificationsRead':
      return { unreadCount: town.unreadCountOf(authorId) };
    default:
      return { cheep: cheepView(town, town.cheeps.get(command.cheepId), authorId) };
  }
}
