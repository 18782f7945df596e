/** The steps of which the life of a town is made. */
import { expect } from '@jest/globals';
import fc from 'fast-check';
import { PASSWORD, type System } from '../system.js';
import { LOG_IN } from './face.js';
import { lookAround, notificationsArrive, readPage, type ListName } from './looks.js';
import type { Town } from './model.js';
import { act, orderOf, sendAgain, settle, type Act, type Order } from './orders.js';
import { World } from './world.js';

type Step = fc.AsyncCommand<Town, World>;

const CAST = 5;
const MAX_STEPS = 70;

const some = fc.nat(10_000);
const said = (what: string, value: unknown) => `${what}(${JSON.stringify(value)})`;

/** Steps can be made at any time: what they are about is chosen among what is there. */
function step(title: string, run: (world: World) => Promise<void>): Step {
  return {
    check: () => true,
    run: async (_, world) => {
      world.played.push(title);
      await run(world);
    },
    toString: () => title,
  };
}

const acts = act.map((wanted) => step(said('act', wanted), (world) => settle(world, [orderOf(world, wanted)])));

/** Several at the same time, by whomever. */
const crowds = fc.array(act, { minLength: 2, maxLength: 8, size: 'max' }).map((wanted) =>
  step(said('crowd', wanted), async (world) => {
    const announced: string[] = [];
    const orders = wanted.map((one) => orderOf(world, one, announced));
    // A name that is not there yet cannot be held (docs/decisions/0007): whether it is a mention, nobody can say who takes it in
    // the same moment.
    const taken = orders.flatMap(({ input }) => (typeof input.username === 'string' ? [`@${input.username.toLowerCase()}`] : []));
    const isCertain = ({ input: { message } }: Order) =>
      typeof message !== 'string' || !taken.some((name) => message.toLowerCase().includes(name));
    await settle(world, orders.filter(isCertain));
  }),
);

const repeats = fc
  .record({ which: some, how: fc.constantFrom('the same' as const, 'the same' as const, 'another' as const) })
  .map((wanted) =>
    step(said('repeat', wanted), async (world) => {
      const { sent } = world;
      await sendAgain(world, sent.at(-1 - (wanted.which % sent.length))!, wanted.how);
    }),
  );

const logIns = fc
  .record({ who: some, by: fc.constantFrom('username', 'email', 'former name', 'nothing'), isRight: fc.boolean() })
  .map((wanted) =>
    step(said('logIn', wanted), async ({ face, town, people, formerNames }) => {
      const author = town.author(people[wanted.who % people.length]!);
      const { username, email } = author;
      const usernameOrEmail =
        { username: username.toUpperCase(), email: email.toUpperCase(), 'former name': formerNames.at(-1), nothing: '' }[wanted.by] ?? '';
      const password = wanted.isRight ? author.password : `${PASSWORD} not`;
      const { logIn } = await face.read<{ logIn: unknown }>(LOG_IN, { input: { usernameOrEmail, password } }, null);
      const entered = town.byCredentials(usernameOrEmail, password);
      expect({ usernameOrEmail, logIn }).toEqual({
        usernameOrEmail,
        logIn: entered
          ? {
              author: { id: entered.id, username: entered.username, email: entered.email },
              session: { accessToken: expect.any(String) },
              userErrors: [],
            }
          : { author: null, session: null, userErrors: [{ code: 'WRONG_CREDENTIALS', field: null }] },
      });
    }),
  );

const looks = some.map((from) => step(`lookAround(${from})`, (world) => lookAround(world, from)));

const LEAFED: ListName[] = ['followers', 'following', 'cheeps', 'replies', 'timeline', 'search', 'authorHistory', 'notifications'];

/** Reads one page, and leaves a bookmark for a later step to go on from, when the list is no longer what it was. */
const pages = fc.record({ list: fc.constantFrom(...LEAFED), of: some, viewer: some, first: fc.integer({ min: 1, max: 3 }) }).map((wanted) =>
  step(said('openBook', wanted), async (world) => {
    const { people, town, bookmarks } = world;
    const { list } = wanted;
    const author = people[wanted.of % people.length]!;
    const cheeps = [...town.cheeps.values()].filter(({ isDeleted }) => !isDeleted);
    const of = list === 'replies' ? cheeps[wanted.of % cheeps.length]?.id : list === 'search' ? world.tag : author;
    if (of === undefined) return;
    const viewerId = list === 'authorHistory' || list === 'notifications' ? author : people[wanted.viewer % people.length]!;
    if (list === 'notifications') await notificationsArrive(world, author);
    const at = await readPage(world, list, of, viewerId, wanted.first, null);
    if (at) bookmarks.push({ list, of, viewerId, at });
  }),
);

const nextPages = fc.record({ which: some, first: fc.integer({ min: 1, max: 5 }) }).map((wanted) =>
  step(said('readOn', wanted), async (world) => {
    const { bookmarks, town } = world;
    if (bookmarks.length === 0) return;
    const [bookmark] = bookmarks.splice(wanted.which % bookmarks.length, 1);
    const { list, of, viewerId, at } = bookmark!;
    if (list === 'replies' && !town.live(of)) return;
    if (list === 'notifications') await notificationsArrive(world, of);
    const next = await readPage(world, list, of, viewerId, wanted.first, at);
    if (next) bookmarks.push({ list, of, viewerId, at: next });
  }),
);

/** Months of a town. */
export const lives = (replayPath?: string): fc.Arbitrary<Iterable<Step>> =>
  fc.noBias(
    fc.commands([acts, acts, acts, acts, acts, crowds, crowds, crowds, repeats, repeats, logIns, looks, looks, pages, nextPages], {
      maxCommands: MAX_STEPS,
      size: 'max',
      ...(replayPath ? { replayPath } : {}),
    }),
  );

const plainSignUp = (n: number): Act => ({
  wants: 'signUp',
  username: { word: n },
  email: { word: n },
  wrongPassword: null,
  profile: {},
  hasId: n % 2 === 0,
  who: 0,
  commandId: 'own',
  waitFor: null,
  isLoud: false,
  isTwice: false,
});

/** A new town, with a few people in it. */
export async function found(system: System): Promise<World> {
  const world = new World(system);
  await settle(
    world,
    Array.from({ length: CAST }, (_, n) => orderOf(world, plainSignUp(n))),
  );

  return world;
}

/**
 * A newcomer follows everybody: whoever has been told of that has been told of everything before. Then everything must be as
 * the model says, with nothing too many.
 */
export async function close(world: World): Promise<void> {
  const username = `${world.tag}last`;
  const email = `${username}@example.org`.toLowerCase();
  const profile = { name: null, biography: null, location: null, website: null, birthDate: null };
  const others = world.people;
  const plain = { faults: [], isTwice: false };
  await settle(world, [
    {
      ...plain,
      name: 'SignUp',
      senderId: null,
      input: { username, email, password: PASSWORD },
      command: (authorId) => ({ name: 'SignUp', authorId, username, email, password: PASSWORD, profile }),
    },
  ]);
  const newcomer = world.people.at(-1)!;
  await settle(
    world,
    others.map((followedId) => ({
      ...plain,
      name: 'FollowAuthor',
      senderId: newcomer,
      input: { authorId: followedId },
      command: () => ({ name: 'FollowAuthor', authorId: newcomer, followedId }),
    })),
  );
  await lookAround(world, 1);
}
